package sessions_test

import (
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestShutOut: whoever is revoked, or whose gateway is deleted, is cut off at once at the instance that was told, within two
// seconds at others, and does not come back.
func TestShutOut(t *testing.T) {
	for reason, shutOut := range map[string]func(i *instance, g, r string) error{
		"revoked": func(i *instance, g, r string) error { return i.client.RevokeReplica(i.bench.t.Context(), g, r) },
		"deleted": func(i *instance, g, _ string) error { return i.client.DeleteGateway(i.bench.t.Context(), g) },
	} {
		t.Run(reason, func(t *testing.T) {
			b := newBench(t)
			a, z := b.instance("a"), b.instance("z")
			g := a.gateway("site")
			r := newReplica(t).mustPair(a, g.ID)
			here, there := r.mustConnect(a), r.mustConnect(z)
			other := newReplica(t).mustPair(a, a.gateway("neighbour").ID)
			neighbour := other.mustConnect(a)
			r.await("told by both", 5*time.Second, func() bool { return len(r.hubs) >= 2 })
			began := time.Now()
			if err := shutOut(a, g.ID, r.grant.Replica); err != nil {
				t.Fatal(err)
			}
			for name, c := range map[string]*connection{"here": here, "there": there} {
				select {
				case <-c.done:
					t.Logf("cut %s after %s", name, time.Since(began).Round(time.Millisecond))
				case <-time.After(2 * time.Second):
					t.Errorf("not cut %s after two seconds", name)
				}
			}
			for _, i := range []*instance{a, z} {
				if _, err := r.connect(i); err == nil {
					t.Errorf("it is let in again at %s", i.name)
				}
			}
			select {
			case <-neighbour.done:
				t.Error("another gateway was cut")
			default:
			}
		})
	}
}

func TestDeletedGatewayInUse(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	c := r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	i.account(g.ID)
	err := i.client.DeleteGateway(t.Context(), g.ID)
	if p := hubapi.AsProblem(err); p.Code != hubapi.CodeInUse {
		t.Errorf("deleted: %v", err)
	}
	select {
	case <-c.done:
		t.Error("cut by a delete that was refused")
	default:
	}
}

// TestForeignReports: a gateway has a say about what is its own and about nothing else.
func TestForeignReports(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	mine, theirs := i.gateway("mine"), i.gateway("theirs")
	r := newReplica(t).mustPair(i, mine.ID)
	r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	victim := newReplica(t).mustPair(i, theirs.ID)
	victim.mustConnect(i)
	victim.await("holder", 5*time.Second, victim.holds)
	own, foreign := i.cluster("own", i.account(mine.ID).ID), i.cluster("foreign", i.account(theirs.ID).ID)
	pool, err := i.client.PutIPPool(t.Context(), foreign.ID, hubapi.IPPoolWrite{Name: "pool", Spec: hubapi.IPPoolSpec{
		GatewayID: theirs.ID, Subnet: "10.1.0.0/24", Prefix: 24, Gateway: "10.1.0.1",
	}}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	r.report(said(foreign, "all your machines are belong to us"))
	r.report(said(foreign, "gone"), func(report *gatewayapi.Report) { report.Cluster.Gone, report.Cluster.Generation = true, 99 })
	r.report(gatewayapi.Report{Pool: &gatewayapi.PoolReport{ID: pool.ID, Status: hubapi.IPPoolStatus{
		Leases: []hubapi.IPLease{{Address: "10.1.0.5", Machine: "evil"}},
	}}})
	r.report(said(own, "own"))
	r.awaitAcked()
	if c, err := i.client.Cluster(t.Context(), foreign.ID); err != nil || c.Revision != foreign.Revision {
		t.Errorf("the other gateway's cluster has become %+v, %v", c, err)
	}
	if p, err := i.client.IPPool(t.Context(), pool.ID); err != nil || len(p.Status.Leases) > 0 {
		t.Errorf("the other gateway's pool has become %+v, %v", p, err)
	}
	for _, text := range []string{"on another gateway's cluster", "on another gateway's address pool"} {
		if !b.log.contains(text) {
			t.Errorf("the log has nothing %q", text)
		}
	}
}

// TestOtherProjects: a project's gateway does not exist in another project.
func TestOtherProjects(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	other, err := hubapi.NewClient(hubapi.Config{Endpoint: i.server.URL, Transport: i.server.Client().Transport, Project: "other"})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	_, getErr := other.Gateway(ctx, g.ID)
	_, _, pairErr := other.Pair(ctx, g.ID, hubapi.PairOptions{})
	_, accountErr := other.PutCloudAccount(ctx, g.ID, hubapi.CloudAccountWrite{
		Name: "a", SealedPassword: []byte("x"),
		Spec: hubapi.CloudAccountSpec{GatewayID: g.ID, VCenter: "vc.example.com", Username: "u"},
	}, hubapi.WriteOptions{Create: true})
	for what, err := range map[string]error{
		"read": getErr, "pair": pairErr, "account": accountErr,
		"delete": other.DeleteGateway(ctx, g.ID), "revoke": other.RevokeReplica(ctx, g.ID, r.grant.Replica),
	} {
		if p := hubapi.AsProblem(err); err == nil || (p.Code != hubapi.CodeNotFound && p.Code != hubapi.CodeInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if list, err := other.Gateways(ctx); err != nil || len(list) > 0 {
		t.Errorf("the list is %+v, %v", list, err)
	}
}

// TestOfflineGateway: a request through a gateway that is not there says which one, since when, and what to do.
func TestOfflineGateway(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	c := r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	account := i.account(g.ID)
	c.stop()
	i.await(g.ID, "offline", func(g *hubapi.Gateway) bool { return g.Status.State == hubapi.GatewayOffline })
	spec := clusterSpec(account.ID)
	_, err := i.client.PreviewCluster(t.Context(), hubapi.ClusterPreview{Spec: spec})
	p := hubapi.AsProblem(err)
	if p.Code != hubapi.CodeUnreachable || p.Status != 503 || p.Hint == "" {
		t.Errorf("got %+v", p)
	}
	t.Log(err)
}
