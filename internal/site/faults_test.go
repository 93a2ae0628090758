package site_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/postgres"
)

// Guests and clones take long enough for something to happen meanwhile.
var unhurried = testkit.Options{CloneDelay: 300 * time.Millisecond, Guests: testkit.GuestOptions{PhaseDelay: 30 * time.Millisecond}}

// strikeLimit is how long a create may take to come to where a fault strikes.
const strikeLimit = time.Minute

func await(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(strikeLimit):
		t.Fatalf("%s: not within %s", what, strikeLimit)
	}
}

// fault is something that happens to a site in the middle of an apply, and is over after a while.
type fault struct {
	reason string
	strike func(*site.Site)
	lasts  time.Duration
	mend   func(*site.Site)
	// told is what the provider says of it in its progress.
	told []string
}

var faults = map[string]fault{
	"HubKilled": {
		reason: "the hub comes back with what it knew, the apply goes on",
		strike: func(s *site.Site) { s.Hubs[0].Kill() },
		lasts:  3 * time.Second,
		mend:   func(s *site.Site) { s.Hubs[0].Start() },
	},
	"HubAway": {
		reason: "an apply waits for the hub as long as it may take",
		strike: func(s *site.Site) { s.Hubs[0].Kill() },
		lasts:  20 * time.Second,
		mend:   func(s *site.Site) { s.Hubs[0].Start() },
		told:   []string{"the hub cannot be reached, waiting for it", "the hub answers again"},
	},
	"GatewayKilled": {
		reason: "the gateway finds what it has begun",
		strike: func(s *site.Site) { s.Replicas[0].Kill() },
		lasts:  8 * time.Second,
		mend:   func(s *site.Site) { s.Replicas[0].Start() },
		told:   []string{`gateway "north" `, "is not connected to the hub", `gateway "north" is connected again`},
	},
	"BothKilled": {
		reason: "nothing of the create was in memory alone",
		strike: func(s *site.Site) { s.Replicas[0].Kill(); s.Hubs[0].Kill() },
		lasts:  2 * time.Second,
		mend:   func(s *site.Site) { s.Replicas[0].Start(); s.Hubs[0].Start() },
	},
	"UplinkCut": {
		reason: "the gateway dials again and reports what it did meanwhile",
		strike: func(s *site.Site) { s.Replicas[0].Uplink.Cut() },
		lasts:  3 * time.Second,
		mend:   func(s *site.Site) { s.Replicas[0].Uplink.Restore() },
	},
	"UplinkFrozen": {
		reason: "what was on the way arrives, or is said again",
		strike: func(s *site.Site) { s.Replicas[0].Uplink.Freeze() },
		lasts:  4 * time.Second,
		mend:   func(s *site.Site) { s.Replicas[0].Uplink.Restore() },
	},
	"FrontCut": {
		reason: "Terraform comes back to the hub and goes on waiting",
		strike: func(s *site.Site) { s.Front.Cut() },
		lasts:  3 * time.Second,
		mend:   func(s *site.Site) { s.Front.Restore() },
	},
	"HubFrozen": {
		reason: "a hub that stands still for a while is no other hub afterwards",
		strike: func(s *site.Site) { s.Hubs[0].Freeze() },
		lasts:  4 * time.Second,
		mend:   func(s *site.Site) { s.Hubs[0].Thaw() },
	},
}

// TestSiteFaultInCreate has a fault strike while the first machine is cloned. The apply ends well, and nothing is doubled,
// lost or left to do.
func TestSiteFaultInCreate(t *testing.T) {
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting for processes.
			strikeDuringApply(t, withGateway(t, site.Options{VCenter: unhurried}), f)
		})
	}
}

// withGateway makes a site in which the rest is Terraform's to make.
func withGateway(t *testing.T, options site.Options) *site.Site {
	t.Helper()
	options.Bare = true
	s := site.New(t, options)
	s.AddGateway()
	return s
}

func strikeDuringApply(t *testing.T, s *site.Site, f fault) {
	t.Helper()
	struck := s.At("CloneVM_Task", func() { f.strike(s) })
	tf := s.NewTerraform(s.ClusterConfig(2))
	apply := tf.StartApply()
	await(t, struck, "the create clones its first machine")
	<-time.After(f.lasts)
	began := time.Now()
	f.mend(s)
	tf.Settled(f.reason, apply)
	s.Took("from the end of the fault to the end of the apply", began)
	s.Verify(f.reason, site.Slots(2)...)
	for _, part := range f.told {
		if !slices.ContainsFunc(tf.Progress(), func(line string) bool { return strings.Contains(line, part) }) {
			t.Errorf("%s: the provider did not say %q, but\n%s", f.reason, part, strings.Join(tf.Progress(), "\n"))
		}
	}
	tf.Destroy()
	if left := s.Left(); len(left) > 0 {
		t.Errorf("%s: the destroy left %q", f.reason, left)
	}
}

// TestSiteTerraformGone ends Terraform in the middle of a create. The work goes on without it, and the next apply finds it.
func TestSiteTerraformGone(t *testing.T) {
	for name, end := range map[string]func(*site.Process){
		"Killed":      (*site.Process).Kill,
		"Interrupted": func(p *site.Process) { _ = p.Interrupt() }, // However it ends.
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting for processes.
			s := withGateway(t, site.Options{VCenter: unhurried})
			tf := s.NewTerraform(s.ClusterConfig(2))
			var apply *site.Process
			started, gone := make(chan struct{}), make(chan struct{})
			struck := s.At("CloneVM_Task", func() {
				go func() {
					<-started
					end(apply)
					close(gone)
				}()
			})
			apply = tf.StartApply()
			close(started)
			await(t, struck, "the create clones its first machine")
			await(t, gone, "Terraform ends")
			tf.Settled("the next apply goes on", tf.StartApply())
			s.Verify("the next apply goes on", site.Slots(2)...)
			tf.Destroy()
			if left := s.Left(); len(left) > 0 {
				t.Errorf("the destroy left %q", left)
			}
		})
	}
}

func TestSiteDatabaseRestarted(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	db := postgres.Start(t)
	s := withGateway(t, site.Options{VCenter: unhurried, Database: db.DSN(t), Hubs: 2})
	strikeDuringApply(t, s, fault{
		reason: "the hubs wait for their database",
		strike: func(*site.Site) { db.Kill(t) },
		lasts:  3 * time.Second,
		mend:   func(*site.Site) { db.Resume(t) },
	})
}

func TestSiteOneOfTwoHubsKilled(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	db := postgres.Start(t)
	s := withGateway(t, site.Options{VCenter: unhurried, Database: db.DSN(t), Hubs: 2})
	strikeDuringApply(t, s, fault{
		reason: "the other hub has everything",
		strike: func(s *site.Site) { s.Hubs[0].Kill() },
		mend:   func(*site.Site) {},
	})
}

// TestSiteReconnect measures how soon a gateway is back when the hub is.
func TestSiteReconnect(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	s := withGateway(t, site.Options{})
	s.Hubs[0].Kill()
	<-time.After(5 * time.Second)
	s.Hubs[0].Start()
	s.Hubs[0].AwaitReady()
	if took := s.AwaitConnected(s.Replicas[0]); took > 2*time.Second {
		t.Errorf("the gateway was back %s after the hub, want at most 2 s", took)
	} else {
		t.Logf("the gateway was back %s after the hub", took)
	}
}

// TestSiteClockSkew has the clocks of hub and gateway ten minutes apart, either way.
func TestSiteClockSkew(t *testing.T) {
	for name, skew := range map[string]time.Duration{"HubAhead": 10 * time.Minute, "HubBehind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of it is waiting for processes.
			s := withGateway(t, site.Options{VCenter: unhurried, HubSkew: skew, Replicas: 2})
			holder := s.Holder(takeoverLimit)
			strikeDuringApply(t, s, fault{
				reason: "leases are measured, not compared",
				strike: func(*site.Site) { holder.Kill() },
				mend:   func(*site.Site) { holder.Start() },
			})
		})
	}
}
