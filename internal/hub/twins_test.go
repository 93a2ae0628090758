package hub_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/ippool"
)

// TestTwin creates what is there already: before anybody has come back to it, and after.
func TestTwin(t *testing.T) {
	b := newBench(t)
	asked := spec("prod", b.account("prod").ID)
	c := b.ready(asked)
	create := func() (*hubapi.Cluster, error) {
		return b.client.PutCluster(t.Context(), uuid.NewString(), hubapi.ClusterWrite{Spec: asked}, hubapi.WriteOptions{Create: true})
	}
	resumed, err := create()
	if err != nil || resumed.ID != c.ID {
		t.Fatalf("a create whose answer was lost gets what it has made: got %v, %v", resumed, err)
	}
	if _, err := b.client.RefreshCluster(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := create(); !errors.Is(err, hubapi.ErrAlreadyExists) {
		t.Errorf("what is in somebody's state is not taken over: got %v", err)
	}
}

func TestEndpointProblems(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	pool := b.pool(hubapi.IPPoolWrite{Name: "nodes", Spec: hubapi.IPPoolSpec{
		GatewayID: account.Spec.GatewayID, Subnet: "10.20.0.0/24", Prefix: 24, Gateway: "10.20.0.1",
	}})
	b.ready(spec("other", account.ID))
	cases := map[string]struct {
		reason string
		host   string
		want   string
	}{
		"Free":    {"an address nobody has", "10.9.9.9", ""},
		"InPool":  {"a machine could be given it", poolAddress(t, pool), "could be given to a machine"},
		"Gateway": {"it is the router", pool.Spec.Gateway, "is the gateway"},
		"Twin":    {"another cluster answers there", spec("other", account.ID).Endpoint.Host, "has the same endpoint"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := spec("prod", account.ID)
			asked.Endpoint.Host = tc.host
			asked.ControlPlane.Placements[0].IPPoolID = pool.ID
			preview, err := b.client.PreviewCluster(t.Context(), hubapi.ClusterPreview{Spec: asked})
			if err != nil {
				t.Fatal(err)
			}
			var found string
			for _, p := range preview.Problems {
				if p.Field == "/control_plane_endpoint/host" {
					found = p.Message
				}
			}
			if !strings.Contains(found, tc.want) || (found == "") != (tc.want == "") {
				t.Errorf("%s: got %q, want %q", tc.reason, found, tc.want)
			}
		})
	}
}

func poolAddress(t *testing.T, pool *hubapi.IPPool) string {
	t.Helper()
	parsed, mistakes := ippool.ParseSpec(pool.Spec.Arithmetic())
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	addr, _ := parsed.Next(func(netip.Addr) bool { return false })
	return addr.String()
}
