package site_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

// takeoverLimit is how long a gateway may be without a replica that works.
const takeoverLimit = 15 * time.Second

// TestSiteHolderKilled kills the replica that works on a cluster. The other one takes over and finds what was begun.
func TestSiteHolderKilled(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	s := site.New(t, site.Options{VCenter: unhurried, Replicas: 2})
	holder := s.Holder(takeoverLimit)
	var at time.Time
	struck := s.At("CloneVM_Task", func() {
		holder.Kill()
		at = time.Now()
	})
	work := s.Write(s.Spec(3))
	await(t, struck, "the holder clones its first machine")
	heir := s.OtherHolder(holder, takeoverLimit)
	if took := s.Took("takeover", at); took > takeoverLimit {
		t.Errorf("the other replica took over after %s, want at most %s", took, takeoverLimit)
	}
	work.Wait()
	s.Verify("the heir "+heir.Name+" goes on", site.Slots(3)...)
	holder.Start()
	s.AwaitConnected(holder)
	s.Write(s.Spec(1)).Wait()
	s.Verify("the old holder is back", site.Slots(1)...)
	s.Delete().Wait()
	s.Verify("all is deleted")
}

// TestSiteHolderFrozen stops the replica that works on a cluster for longer than its lease, and lets it go on when the other
// one has taken over, while that works or afterwards. No step is done twice.
func TestSiteHolderFrozen(t *testing.T) {
	cases := map[string]struct {
		reason string
		during bool
	}{
		"During":     {"the old holder wakes up while the other one works", true},
		"Afterwards": {"the old holder wakes up when everything is done", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting for processes.
			s := site.New(t, site.Options{VCenter: unhurried, Replicas: 2})
			holder := s.Holder(takeoverLimit)
			struck := s.At("CloneVM_Task", holder.Freeze)
			work := s.Write(s.Spec(2))
			await(t, struck, "the holder clones its first machine")
			s.OtherHolder(holder, takeoverLimit)
			if tc.during {
				holder.Thaw()
			}
			work.Wait()
			s.Verify(tc.reason, site.Slots(2)...)
			changes := countChanges(s)
			holder.Thaw()
			<-time.After(5 * time.Second)
			if n := changes.Load(); n > 0 {
				t.Errorf("%s: it changed the vCenter %d times", tc.reason, n)
			}
			s.Verify(tc.reason+", also later", site.Slots(2)...)
		})
	}
}

// countChanges counts the calls that change the vCenter from now on.
func countChanges(s *site.Site) *atomic.Int32 {
	var n atomic.Int32
	s.VCenter.OnCall(func(method string, _ int) error {
		if strings.HasSuffix(method, "_Task") || method == "CreateFolder" {
			n.Add(1)
		}
		return nil
	})
	return &n
}
