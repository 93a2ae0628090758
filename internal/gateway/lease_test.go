package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// word is what a hub says of the lease.
func word(epoch int64, holder bool, ttl time.Duration) gatewayapi.Lease {
	return gatewayapi.Lease{Epoch: epoch, Holder: holder, TTLMillis: ttl.Milliseconds()}
}

func TestLeaseTime(t *testing.T) {
	const ttl = 10 * time.Second
	steps := []struct {
		reason string
		after  time.Duration
		say    *gatewayapi.Lease
		fails  bool
		holds  bool
		epoch  int64
	}{
		{"nobody has said anything", 0, nil, false, false, 0},
		{"the hub grants", 0, new(word(1, true, ttl)), false, true, 1},
		{"it is good for less than it was granted for", 8900 * time.Millisecond, nil, false, true, 1},
		{"then it lapses", 200 * time.Millisecond, nil, false, false, 1},
		{"it comes back under the same epoch", time.Second, new(word(1, true, ttl)), false, true, 1},
		{"a renewal counts from its arrival", 5 * time.Second, new(word(1, true, ttl)), false, true, 1},
		{"so that it holds on", 8 * time.Second, nil, false, true, 1},
		{"another replica has it", 0, new(word(2, false, ttl)), false, false, 2},
		{"an old grant comes late", 0, new(word(1, true, ttl)), true, false, 2},
		{"an epoch that was given up does not come back", 0, new(word(2, true, ttl)), false, false, 2},
		{"a new one does", 0, new(word(3, true, ttl)), false, true, 3},
		{"no hub grants for ever", 0, new(word(3, true, 1000*time.Hour)), false, true, 3},
		{"as is seen", 16 * time.Minute, nil, false, false, 3},
		{"an epoch is above zero", 0, new(word(0, true, ttl)), true, false, 3},
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newLease(ctx, true)
		defer l.close()
		for _, step := range steps {
			time.Sleep(step.after) //nolint:forbidigo // the bubble's clock
			if step.say != nil {
				_, _, err := l.take(ctx, *step.say, time.Now())
				if (err != nil) != step.fails {
					t.Fatalf("%s: %v", step.reason, err)
				}
			}
			if epoch, holds := l.current(); holds != step.holds || epoch != step.epoch {
				t.Fatalf("%s: holds %t under epoch %d, want %t under %d", step.reason, holds, epoch, step.holds, step.epoch)
			}
		}
	})
}

// TestLeaseLapseEndsWork shows that what works under a lease is told when it lapses, waits for it within the term, and ends
// with the term.
func TestLeaseLapseEndsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newLease(ctx, true)
		if _, _, err := l.take(ctx, word(1, true, 10*time.Second), time.Now()); err != nil {
			t.Fatal(err)
		}
		term := l.held()
		work, err := l.await(term)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-work.Done()
		if took := time.Since(began); took != 9*time.Second {
			t.Errorf("work was stopped after %s, want 9s", took)
		}
		if err := l.check(term); !errors.Is(err, errNotHolder) {
			t.Errorf("a step after the lapse: %v", err)
		}
		time.AfterFunc(time.Minute, func() { _, _, _ = l.take(ctx, word(1, true, 10*time.Second), time.Now()) })
		work, err = l.await(term)
		if err != nil || time.Since(began) != 9*time.Second+time.Minute || work.Err() != nil {
			t.Errorf("waited %s for the lease to come back: %v", time.Since(began), err)
		}
		time.AfterFunc(time.Second, func() { _, _, _ = l.take(ctx, word(2, false, 0), time.Now()) })
		<-work.Done()
		if _, err := l.await(term); !errors.Is(err, context.Canceled) {
			t.Errorf("after the term: %v", err)
		}
	})
}

// TestReportsOfAnEarlierEpoch shows that nothing of an earlier epoch is told under a later one, and that nobody takes it for
// kept.
func TestReportsOfAnEarlierEpoch(t *testing.T) {
	l := newReportLog(time.Now)
	l.begin(1)
	first := l.publish(gatewayapi.Report{Epoch: 1})
	l.ack(gatewayapi.Ack{Boot: l.life(), Seq: first})
	unheard := l.publish(gatewayapi.Report{Epoch: 1})
	before := l.life()
	l.begin(2)
	if l.life() == before {
		t.Error("the life is the same under a new epoch")
	}
	late := l.publish(gatewayapi.Report{Epoch: 1})
	for name, seq := range map[string]int64{"unheard": unheard, "late": late} {
		if err := l.kept(t.Context(), seq); !errors.Is(err, errNotHolder) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.kept(t.Context(), first); err != nil {
		t.Errorf("what was kept before: %v", err)
	}
	l.publish(gatewayapi.Report{Epoch: 2, Cluster: &gatewayapi.ClusterReport{ID: "c"}})
	pool := l.publish(gatewayapi.Report{Pool: &gatewayapi.PoolReport{ID: "p"}})
	reports, _, _ := l.after(0)
	if len(reports) != 2 || reports[0].Epoch != 2 || reports[1].Epoch != 2 {
		t.Errorf("reports %+v", reports)
	}
	l.ack(gatewayapi.Ack{Boot: before, Seq: pool})
	if l.unkept() != 2 {
		t.Error("an acknowledgement for an earlier life counts")
	}
}

func TestPoolsAreLearntAnewInATerm(t *testing.T) {
	doc := hubapi.IPPool{
		Meta: hubapi.Meta{ID: "p", Name: "p", Generation: 1},
		Spec: hubapi.IPPoolSpec{Prefix: 24, Gateway: "10.0.0.1", Ranges: []hubapi.IPRange{{Start: "10.0.0.10", End: "10.0.0.20"}}},
	}
	pools := newAddressPools(time.Now, func(gatewayapi.PoolReport) int64 { return 0 })
	held := func() int { return len(pools.facts()["p"].HeldBy) }
	pools.own(true)
	if err := pools.learn([]hubapi.IPPool{doc}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pools.lease("p", "c", "u1", "m1"); err != nil {
		t.Fatal(err)
	}
	if err := pools.learn([]hubapi.IPPool{doc}); err != nil || held() != 1 {
		t.Errorf("the owner lost its lease to the hub's copy: %v", err)
	}
	pools.own(false)
	doc.Status.Leases = []hubapi.IPLease{
		{Address: "10.0.0.10", InstanceUUID: "u2", Machine: "m2"}, {Address: "10.0.0.11", InstanceUUID: "u3", Machine: "m3"},
	}
	if err := pools.learn([]hubapi.IPPool{doc}); err != nil || held() != 2 {
		t.Errorf("who does not own the pool goes by its own memory: %d held, %v", held(), err)
	}
	pools.own(true)
	if held() != 0 {
		t.Error("a new term begins with what an earlier one knew")
	}
}
