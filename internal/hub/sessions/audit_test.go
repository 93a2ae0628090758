package sessions_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestEnrolmentsAreAudited: who was let in as a gateway, and who was not, can be read by the project's admins.
func TestEnrolmentsAreAudited(t *testing.T) {
	w := newWhole(t)
	g := w.gateway("north")
	token, _, err := w.client.Pair(t.Context(), g.ID, hubapi.PairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		_, err := agent.Pair(t.Context(), agent.PairConfig{
			Hub: w.hub.URL, Token: token.String(), Name: name, DataDir: filepath.Join(t.TempDir(), name), OuterCA: w.hub.CA, Version: "test",
		})
		if (err != nil) != (name == "second") {
			t.Fatalf("pairing the %s replica with one token: %v", name, err)
		}
	}
	entries, err := w.client.Audit(t.Context(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		Actor, Object, Name string
		Refused             bool
	}
	var got []seen
	for _, e := range entries {
		if e.Method == "ENROL" {
			got = append(got, seen{e.Actor, e.Object, e.Name, e.Status >= 400})
		}
		if strings.Contains(e.Actor+e.Name+e.Object, string(token.Secret)) || e.Source == "" {
			t.Errorf("entry %+v", e)
		}
	}
	actor := "pairing:" + token.ID
	if diff := cmp.Diff([]seen{{actor, g.ID, "north", false}, {actor, g.ID, "north", true}}, got); diff != "" {
		t.Errorf("enrolments (-want +got):\n%s", diff)
	}
	w.hub.Records(func(db store.Database) error { return store.VerifyAudit(t.Context(), db) })
}
