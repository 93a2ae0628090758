package sessions_test

import (
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// TestHolderDies: two replicas share a gateway; when the one that works is gone the other goes on within 15 seconds, and the
// cluster comes to be though nobody gave it again.
func TestHolderDies(t *testing.T) {
	w := newWhole(t)
	vc := testkit.Start(t, testkit.Options{})
	g := w.gateway("site-a")
	introduction := hubapi.NewSecret()
	var stops []func()
	for _, name := range []string{"one", "two"} {
		dir, err := w.pair(g.ID, name, hubapi.PairOptions{Introduction: introduction})
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, w.run(dir))
		w.await(g.ID, "online", 5*time.Second, online)
	}
	g = w.await(g.ID, "both connected", 5*time.Second, func(g *hubapi.Gateway) bool {
		return len(g.Status.Replicas) == 2 && g.Status.Replicas[1].ConnectedSince != nil && holder(g) != ""
	})
	if holder(g) != "one" {
		t.Errorf("the holder is %q", holder(g))
	}
	account := w.account(vc, g.ID)
	c := w.create(clusterSpec(account.ID))
	stops[0]()
	died := time.Now()
	w.await(g.ID, "taken over", 15*time.Second, func(g *hubapi.Gateway) bool { return holder(g) == "two" })
	t.Logf("taken over after %s", time.Since(died).Round(time.Millisecond))
	w.waitReady(c)
	if left := vc.VMs(); len(left) == 0 {
		t.Errorf("there are %q", left)
	}
}
