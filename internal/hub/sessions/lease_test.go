package sessions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// pairTwo makes two replicas of one gateway with one key, as the introduction leaves them.
func pairTwo(t *testing.T, i *instance, gatewayID string) (one, two *replica, first *connection) {
	t.Helper()
	one = newReplica(t).mustPair(i, gatewayID)
	first = one.mustConnect(i)
	one.await("holder", 5*time.Second, one.holds)
	two = newReplica(t)
	two.sealing = one.sealing
	two.mustPair(i, gatewayID)
	if len(two.grant.SealedKey) == 0 {
		t.Error("the second replica was not given the gateway's key")
	}
	return one, two, first
}

// account keeps a cloud account, which its gateway says is good.
func (i *instance) account(gatewayID string) *hubapi.CloudAccount {
	i.bench.t.Helper()
	write := hubapi.CloudAccountWrite{
		Name: uuid.NewString(), SealedPassword: []byte("sealed"),
		Spec: hubapi.CloudAccountSpec{GatewayID: gatewayID, VCenter: "vc.example.com", Username: "svc@vsphere.local"},
	}
	a, err := i.client.PutCloudAccount(i.bench.t.Context(), uuid.NewString(), write, hubapi.WriteOptions{Create: true})
	if err != nil {
		i.bench.t.Fatal(err)
	}
	return a
}

func (i *instance) cluster(name, accountID string) *hubapi.Cluster {
	i.bench.t.Helper()
	spec := clusterSpec(accountID)
	spec.Name, spec.Folder = name, "k8s/"+name
	c, err := i.client.PutCluster(i.bench.t.Context(), uuid.NewString(), hubapi.ClusterWrite{Spec: spec}, hubapi.WriteOptions{Create: true})
	if err != nil {
		i.bench.t.Fatal(err)
	}
	return c
}

func said(c *hubapi.Cluster, message string) gatewayapi.Report {
	return gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: c.Generation, ObservedGeneration: c.Generation - 1, Message: message,
		Status: hubapi.ClusterStatus{Phase: hubapi.PhaseProvisioning},
	}}
}

// messages returns what is kept of a cluster up to a message.
func (i *instance) messages(id, until string) (seen []string) {
	i.bench.t.Helper()
	err := i.client.WatchCluster(i.bench.t.Context(), id, 0, func(e hubapi.Event) error {
		if seen = append(seen, e.Message); e.Message == until {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		i.bench.t.Fatal(err)
	}
	return seen
}

func TestSoleReplicaKeepsItsLease(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	c := r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	if l := r.leases[len(r.leases)-1]; l.Epoch != 1 || l.TTLMillis < time.Minute.Milliseconds() {
		t.Errorf("its lease is %+v", l)
	}
	cluster := i.cluster("prod", i.account(g.ID).ID)
	r.await("at work", 5*time.Second, func() bool { return len(r.assigned) == 1 })
	// The tunnel breaks: it goes on under the same epoch, and is given what is unfinished in full.
	c.stop()
	<-c.done
	r.mustConnect(i)
	r.await("at work again", 10*time.Second, func() bool {
		return len(r.assigned) == 2 && r.assigned[1].ID == cluster.ID && r.holds() && r.leases[len(r.leases)-1].Epoch == 1
	})
	// And so it does with the next life of the hub.
	i.stop()
	next := b.instance("a")
	r.mustConnect(next)
	r.await("at work once more", 10*time.Second, func() bool { return len(r.assigned) == 3 && r.leases[len(r.leases)-1].Epoch == 1 })
}

func TestSilentHolderLosesItsLease(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	one, two, _ := pairTwo(t, i, g.ID)
	two.mustConnect(i)
	two.await("told of the holder", 5*time.Second, func() bool { return len(two.leases) > 0 })
	one.await("on a short lease", 5*time.Second, func() bool {
		l := one.leases[len(one.leases)-1]
		return l.TTLMillis == 10_000
	})
	if two.holds() || two.epoch() != one.epoch() {
		t.Errorf("leases are %+v and %+v", one.leases, two.leases)
	}
	cluster := i.cluster("prod", i.account(g.ID).ID)
	one.await("at work", 5*time.Second, func() bool { return len(one.assigned) == 1 })
	one.report(said(cluster, "one has begun"))
	one.awaitAcked()
	// It hears and does not answer, as a process that was stopped.
	one.set(func() { one.frozen = true })
	froze := time.Now()
	two.await("holder", 15*time.Second, two.holds)
	t.Logf("taken over after %s", time.Since(froze).Round(time.Millisecond))
	if took := time.Since(froze); took < 7*time.Second {
		t.Errorf("taken over after %s, before the lease had run out", took)
	}
	if two.epoch() != 2 {
		t.Errorf("the epoch is %d", two.epoch())
	}
	two.await("at work", 5*time.Second, func() bool { return len(two.assigned) == 1 && two.assigned[0].ID == cluster.ID })
	two.report(said(cluster, "two goes on"))
	two.awaitAcked()
	two.report(said(cluster, "under the old epoch"), func(r *gatewayapi.Report) { r.Epoch = 1 })
	two.report(said(cluster, "under one to come"), func(r *gatewayapi.Report) { r.Epoch = 3 })
	two.report(said(cluster, "done"))
	two.awaitAcked()
	if diff := cmp.Diff([]string{"one has begun", "two goes on", "done"}, i.messages(cluster.ID, "done")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if !b.log.contains("of another epoch") {
		t.Error("stale reports are not in the log")
	}
	// It wakes up and comes again: it is told that another one has the lease.
	one.set(func() { one.frozen = false })
	one.mustConnect(i)
	one.await("told", 10*time.Second, func() bool { n := len(one.leases); return !one.leases[n-1].Holder && one.leases[n-1].Epoch == 2 })
}

// TestLeaseAmongInstances: of two instances of the hub one gives the lease; the other takes over when that one goes, and the
// holder stays the same.
func TestLeaseAmongInstances(t *testing.T) {
	b := newBench(t)
	a, z := b.instance("a"), b.instance("z")
	g := a.gateway("site")
	r := newReplica(t).mustPair(a, g.ID)
	r.mustConnect(a)
	r.await("holder", 5*time.Second, r.holds)
	r.mustConnect(z)
	r.await("told of both", 15*time.Second, func() bool {
		n := len(r.hubs)
		return n > 0 && len(r.hubs[n-1].Replicas) == 2
	})
	instanceOf := func() string {
		lease, err := roster.LoadLease(t.Context(), b.records, g.ID)
		if err != nil {
			t.Fatal(err)
		}
		return lease.Status.Instance
	}
	if got := instanceOf(); got != "a" {
		t.Errorf("the lease is given by %q", got)
	}
	// Work that comes in at the other one reaches the holder, and what it says reaches those who watch there.
	awaitGateway(t, z.client, g.ID, "known to have a holder", 10*time.Second, func(g *hubapi.Gateway) bool {
		return len(g.Status.Replicas) == 1 && g.Status.Replicas[0].Holder
	})
	cluster := z.cluster("prod", z.account(g.ID).ID)
	r.await("at work", 5*time.Second, func() bool { return len(r.assigned) == 1 })
	r.report(said(cluster, "begun"))
	if diff := cmp.Diff([]string{"begun"}, z.messages(cluster.ID, "begun")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	stopped := time.Now()
	a.stop()
	r.await("given its work by the other", 15*time.Second, func() bool { return len(r.assigned) >= 2 })
	t.Logf("taken over by the other instance after %s", time.Since(stopped).Round(time.Millisecond))
	if got := instanceOf(); got != "z" || r.epoch() != 1 {
		t.Errorf("the lease is given by %q, epoch %d", got, r.epoch())
	}
	r.report(said(cluster, "goes on"))
	if diff := cmp.Diff([]string{"begun", "goes on"}, z.messages(cluster.ID, "goes on")); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestReplicaWithAnotherKey(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	one := newReplica(t).mustPair(i, g.ID)
	one.mustConnect(i)
	one.await("holder", 5*time.Second, one.holds)
	two := newReplica(t) // it has not got the gateway's key
	refused, err := two.pair(t.Context(), i, i.token(g.ID))
	if err != nil || refused == nil {
		t.Errorf("refused with %+v, %v", refused, err)
	}
	if _, err := two.connect(i); err == nil {
		t.Error("it can connect")
	}
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	one.info = func() gatewayapi.Info { return gatewayapi.Info{ID: g.ID, PublicKey: key.PublicKey()} }
	c := one.mustConnect(i)
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
		t.Error("a replica that shows another key than the gateway's is taken")
	}
}

// TestHolderThatResigns: one that has stopped its work and says so is not waited for, whether it stays connected or not. One
// that goes without a word is.
func TestHolderThatResigns(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	one, two, first := pairTwo(t, i, g.ID)
	second := two.mustConnect(i)
	two.await("told of the holder", 5*time.Second, func() bool { return len(two.leases) > 0 })
	cluster := i.cluster("prod", i.account(g.ID).ID)
	one.await("at work", 5*time.Second, func() bool { return len(one.assigned) == 1 })
	one.report(gatewayapi.Report{Resigned: true}, func(r *gatewayapi.Report) { r.Epoch = 7 })
	one.report(said(cluster, "the last"))
	one.awaitAcked()
	if two.holds() {
		t.Fatal("a word under another epoch counts")
	}
	resigned := time.Now()
	one.report(gatewayapi.Report{Resigned: true})
	one.awaitAcked()
	two.await("holder", 5*time.Second, two.holds)
	t.Logf("taken over after %s", time.Since(resigned).Round(time.Millisecond))
	two.await("at work", 5*time.Second, func() bool { return len(two.assigned) == 1 })
	if two.epoch() != 2 || one.holds() && one.epoch() != 1 {
		t.Errorf("epochs are %d and %d", one.epoch(), two.epoch())
	}
	two.report(said(cluster, "two goes on"))
	two.awaitAcked()
	first.stop()
	<-first.done
	// The last one resigns and is gone before anybody else is there: who comes next need not wait either.
	two.report(gatewayapi.Report{Resigned: true})
	two.awaitAcked()
	second.stop()
	<-second.done
	came := time.Now()
	third := one.mustConnect(i)
	one.await("holder again", 5*time.Second, func() bool { return one.holds() && one.leases[len(one.leases)-1].Epoch == 3 })
	t.Logf("taken over after %s", time.Since(came).Round(time.Millisecond))
	// Without the word the lease runs its time.
	two.mustConnect(i)
	third.stop()
	<-third.done
	quiet := time.NewTimer(3 * time.Second)
	<-quiet.C
	two.set(func() {
		if two.holds() && two.leases[len(two.leases)-1].Epoch > 3 {
			t.Error("a replica that was cut off has lost its lease at once")
		}
	})
}
