package sessions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestWatchersHearOfAbsence has a gateway go while somebody waits for its work. It cannot report that itself.
func TestWatchersHearOfAbsence(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	c := r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	cluster := i.cluster("prod", i.account(g.ID).ID)
	r.await("at work", 5*time.Second, func() bool { return len(r.assigned) == 1 })
	r.report(said(cluster, "begun"))
	var seen []string
	err := i.client.WatchCluster(t.Context(), cluster.ID, 0, func(e hubapi.Event) error {
		switch {
		case e.Message == "begun":
			c.stop()
		case strings.Contains(e.Message, "is not connected"):
			if e.Seq != 0 || e.Phase != hubapi.PhaseProvisioning || e.Generation != cluster.Generation {
				t.Errorf("what is told of the absence says more than that: %+v", e)
			}
			r.mustConnect(i)
		case strings.Contains(e.Message, "is connected again"):
			return hubapi.ErrStop
		}
		seen = append(seen, e.Message)
		return nil
	})
	if err != nil {
		t.Fatalf("%v after %q", err, seen)
	}
}
