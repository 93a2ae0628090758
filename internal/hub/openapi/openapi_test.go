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

type document struct {
	OpenAPI    string                          `json:"openapi"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]any `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	OperationID string                              `json:"operationId"`
	Role        string                              `json:"x-palette-role"`
	Parameters  []struct{ Name, In string }         `json:"parameters"`
	RequestBody *struct{ Required bool }            `json:"requestBody"`
	Responses   map[string]struct{ Content, X any } `json:"responses"`
}

func TestDocumentHasEveryRoute(t *testing.T) {
	text, err := openapi.Document("test")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, route := range hub.Routes() {
		op, ok := d.Paths[route.FullPath()][strings.ToLower(route.Method)]
		if !ok {
			t.Errorf("%s %s is missing", route.Method, route.FullPath())
			continue
		}
		if ids[op.OperationID] {
			t.Errorf("there are two operations %s", op.OperationID)
		}
		ids[op.OperationID] = true
		if op.Role != string(route.Role) || (op.RequestBody != nil) != (route.Request != nil) {
			t.Errorf("%s %s: role %s, request %v", route.Method, route.FullPath(), op.Role, op.RequestBody)
		}
		path := 0
		for _, p := range op.Parameters {
			if p.In == "path" {
				path++
			}
		}
		if path != strings.Count(route.FullPath(), "{") {
			t.Errorf("%s has %d path parameters", route.FullPath(), path)
		}
	}
}

func TestReferencesLeadSomewhere(t *testing.T) {
	text, err := openapi.Document("test")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	for _, rest := range strings.Split(string(text), `"#/components/schemas/`)[1:] {
		name, _, _ := strings.Cut(rest, `"`)
		if _, ok := d.Components.Schemas[name]; !ok {
			t.Errorf("there is no schema %s", name)
		}
	}
	for _, want := range []string{"Cluster", "ClusterSpec", "CloudAccountWrite", "Gateway", "Problem", "AuditEntryList", "InventoryObjects"} {
		if _, ok := d.Components.Schemas[want]; !ok {
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
