package tfkit_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// hubOf has a system gateway, unless it is "", and others.
type hubOf struct {
	system string
	others []string
	err    error
}

func (h hubOf) Gateway(context.Context, string) (*hubapi.Gateway, error) {
	if h.err != nil || h.system == "" {
		return nil, errors.Join(h.err, hubapi.NewProblem(hubapi.CodeNotFound, "there is none"))
	}
	return &hubapi.Gateway{Meta: hubapi.Meta{ID: h.system}}, nil
}

func (h hubOf) Gateways(context.Context) ([]hubapi.Gateway, error) {
	var all []hubapi.Gateway
	for _, id := range h.others {
		all = append(all, hubapi.Gateway{Meta: hubapi.Meta{ID: id, Name: id}})
	}
	return all, nil
}

func TestDefaultGateway(t *testing.T) {
	cases := map[string]struct {
		reason string
		hub    hubOf
		want   string
		failed bool
	}{
		"System":  {reason: "The system gateway goes before all others.", hub: hubOf{system: "s", others: []string{"a"}}, want: "s"},
		"Only":    {reason: "Without it the only one is meant.", hub: hubOf{others: []string{"a"}}, want: "a"},
		"Several": {reason: "Among several nobody chooses.", hub: hubOf{others: []string{"a", "b"}}, failed: true},
		"None":    {reason: "None cannot be meant.", hub: hubOf{}, failed: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tfkit.DefaultGateway(t.Context(), tc.hub)
			if diff := cmp.Diff(tc.want, got); diff != "" || (err != nil) != tc.failed {
				t.Errorf("%s\nDefaultGateway(...): %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}
