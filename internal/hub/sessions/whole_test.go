package sessions_test

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/agent"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// whole is a hub as a service, to which real gateways dial out.
type whole struct {
	t      *testing.T
	hub    *hubtest.Hub
	client *hubapi.Client
}

func newWhole(t *testing.T) *whole {
	t.Helper()
	h := hubtest.Start(t, nil)
	return &whole{t: t, hub: h, client: h.Client("default", hubapi.RoleAdmin)}
}

func (w *whole) gateway(name string) *hubapi.Gateway {
	w.t.Helper()
	g, err := w.client.PutGateway(w.t.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: name}, hubapi.WriteOptions{Create: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// pair makes a replica in a directory of its own.
func (w *whole) pair(gatewayID, name string, o hubapi.PairOptions) (dir string, err error) {
	w.t.Helper()
	token, _, err := w.client.Pair(w.t.Context(), gatewayID, o)
	if err != nil {
		w.t.Fatal(err)
	}
	dir = filepath.Join(w.t.TempDir(), name)
	_, err = agent.Pair(w.t.Context(), agent.PairConfig{
		Hub: w.hub.URL, Token: token.String(), Name: name, DataDir: dir, OuterCA: w.hub.CA, Version: "test",
	})
	return dir, err
}

// run starts a replica; stop ends it.
func (w *whole) run(dir string) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	done := make(chan error, 1)
	loopback := &policy.Policy{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	go func() {
		done <- agent.Run(ctx, agent.Config{DataDir: dir, Version: "test", Policy: loopback, Pace: 20 * time.Millisecond})
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the gateway ended with: %v", err)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *whole) await(id, what string, limit time.Duration, fits func(*hubapi.Gateway) bool) *hubapi.Gateway {
	w.t.Helper()
	return awaitGateway(w.t, w.client, id, what, limit, fits)
}

// awaitGateway asks for the gateway until it is as wanted.
func awaitGateway(
	t *testing.T, client *hubapi.Client, id, what string, limit time.Duration, fits func(*hubapi.Gateway) bool,
) *hubapi.Gateway {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		g, err := client.Gateway(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if fits(g) {
			return g
		}
		if time.Now().After(deadline) {
			t.Fatalf("the gateway is not %s within %s: %+v", what, limit, g.Status)
		}
		timer := time.NewTimer(50 * time.Millisecond)
		<-timer.C
	}
}

func online(g *hubapi.Gateway) bool { return g.Status.State == hubapi.GatewayOnline }

func holder(g *hubapi.Gateway) string {
	for _, r := range g.Status.Replicas {
		if r.Holder {
			return r.Name
		}
	}
	return ""
}

func (w *whole) account(vc *testkit.VCenter, gatewayID string) *hubapi.CloudAccount {
	w.t.Helper()
	id := uuid.NewString()
	write := hubapi.CloudAccountWrite{Name: "lab", Spec: hubapi.CloudAccountSpec{
		GatewayID: gatewayID, VCenter: vc.Host(), Username: vc.Username(), Trust: hubapi.Trust{CACertificate: vc.CACertificate()},
	}}
	var err error
	write.SealedPassword, _, err = w.client.SealPassword(w.t.Context(), id, write.Spec, "", vc.Password())
	if err != nil {
		w.t.Fatal(err)
	}
	account, err := w.client.PutCloudAccount(w.t.Context(), id, write, hubapi.WriteOptions{Create: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return account
}

func clusterSpec(accountID string) cluster.Spec {
	pool := cluster.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements:     []cluster.Placement{{ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"}}},
		UpdateStrategy: cluster.UpdateStrategy{MaxSurge: 1},
	}
	return cluster.Spec{
		Name: "prod", CloudAccountID: accountID, KubernetesVersion: "v1.34.1",
		Datacenter: "dc-north", Folder: "k8s/prod", Template: "ubuntu-2404-kube-v1.34.1", CloneMode: cluster.CloneAuto,
		Endpoint:     cluster.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:      cluster.Network{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: pool, WorkerPools: map[string]cluster.Pool{"general": pool},
	}
}

func (w *whole) create(spec cluster.Spec) *hubapi.Cluster {
	w.t.Helper()
	c, err := w.client.PutCluster(w.t.Context(), uuid.NewString(), hubapi.ClusterWrite{Spec: spec}, hubapi.WriteOptions{Create: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// waitReady watches until the gateway has finished with the cluster.
func (w *whole) waitReady(c *hubapi.Cluster) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	var seen []string
	err := w.client.WatchCluster(ctx, c.ID, 0, func(e hubapi.Event) error {
		seen = append(seen, e.Message)
		if e.ObservedGeneration >= c.Generation {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		w.t.Fatalf("waiting for the cluster: %v; seen %q", err, seen)
	}
}

// TestClusterThroughTunnel creates a cluster on a vCenter that only the gateway speaks to.
func TestClusterThroughTunnel(t *testing.T) {
	w := newWhole(t)
	vc := testkit.Start(t, testkit.Options{})
	g := w.gateway("site-a")
	if g.Status.State != hubapi.GatewayPending {
		t.Errorf("a gateway without a process is %s", g.Status.State)
	}
	dir, err := w.pair(g.ID, "one", hubapi.PairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if g = w.await(g.ID, "paired", time.Second, func(g *hubapi.Gateway) bool { return g.Status.PublicKey != "" }); online(g) {
		t.Error("it is online before its process runs")
	}
	w.run(dir)
	w.await(g.ID, "online", 5*time.Second, online)
	account := w.account(vc, g.ID)
	objects, err := w.client.Inventory(t.Context(), account.ID, hubapi.InventoryQuery{Kind: inventory.KindDatacenters})
	if err != nil || len(objects.Datacenters) == 0 {
		t.Fatalf("inventory %+v, %v", objects, err)
	}
	c := w.create(clusterSpec(account.ID))
	w.waitReady(c)
	if c, err = w.client.Cluster(t.Context(), c.ID); err != nil || !c.Status.Ready {
		t.Errorf("the cluster is %+v, %v", c, err)
	}
	if err := w.client.DeleteGateway(t.Context(), g.ID); !errors.Is(err, hubapi.ErrInUse) {
		t.Errorf("deleting a gateway with an account: %v", err)
	}
}
