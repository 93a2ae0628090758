package openapi_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/openapi"
)

type object = map[string]any

// decoded returns the document's text, its paths and its schemas.
func decoded(t *testing.T) (text string, paths, schemas object) {
	t.Helper()
	body, err := openapi.Document("test")
	if err != nil {
		t.Fatal(err)
	}
	var d object
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	return string(body), d["paths"].(object), d["components"].(object)["schemas"].(object)
}

func TestDocumentHasEveryRoute(t *testing.T) {
	_, paths, _ := decoded(t)
	ids := map[any]bool{}
	for _, route := range hub.Routes() {
		item, _ := paths[route.FullPath()].(object)
		op, ok := item[strings.ToLower(route.Method)].(object)
		if !ok {
			t.Errorf("%s %s is missing", route.Method, route.FullPath())
			continue
		}
		if ids[op["operationId"]] {
			t.Errorf("there are two operations %s", op["operationId"])
		}
		ids[op["operationId"]] = true
		if op["x-palette-role"] != string(route.Role) || (op["requestBody"] != nil) != (route.Request != nil) {
			t.Errorf("%s %s: role %s, request %v", route.Method, route.FullPath(), op["x-palette-role"], op["requestBody"])
		}
		path := 0
		for _, p := range op["parameters"].([]any) {
			if p.(object)["in"] == "path" {
				path++
			}
		}
		if path != strings.Count(route.FullPath(), "{") {
			t.Errorf("%s has %d path parameters", route.FullPath(), path)
		}
	}
}

func TestReferencesLeadSomewhere(t *testing.T) {
	text, _, schemas := decoded(t)
	for _, rest := range strings.Split(text, `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(rest, `"`)
		if _, ok := schemas[name]; !ok {
			t.Errorf("there is no schema %s", name)
		}
	}
	for _, want := range []string{"Cluster", "ClusterSpec", "CloudAccountWrite", "Gateway", "Problem", "AuditEntryList", "InventoryObjects"} {
		if _, ok := schemas[want]; !ok {
			t.Errorf("the schema %s is missing", want)
		}
	}
}

func TestCommittedDocument(t *testing.T) {
	want, err := openapi.Document("dev")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/openapi.json is not up to date: make generate (-want +got):\n%s", diff)
	}
}
