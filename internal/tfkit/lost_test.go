package tfkit

import (
	"context"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/diag"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// answering answers for every gateway alike.
type answering struct{ err error }

func (a answering) Gateway(context.Context, string) (*hubapi.Gateway, error) {
	return &hubapi.Gateway{}, a.err
}

func TestRefuseOtherHub(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, gateway string
		err             error
		refuse          bool
	}{
		"Known":       {reason: "what its gateway outlives was deleted", gateway: "g"},
		"Unknown":     {reason: "a hub without its gateway is another hub", gateway: "g", err: hubapi.ErrNotFound, refuse: true},
		"Unreachable": {reason: "a gateway that does not answer is known", gateway: "g", err: &hubapi.Problem{Code: hubapi.CodeUnreachable}},
		"None":        {reason: "without a gateway nobody can tell", err: hubapi.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var diags diag.Diagnostics
			got := RefuseOtherHub(t.Context(), answering{err: tc.err}, "Read", "Cluster", "id", tc.gateway, &diags)
			if got != tc.refuse || diags.HasError() != tc.refuse {
				t.Errorf("%s: got %v, %v", tc.reason, got, diags)
			}
		})
	}
}
