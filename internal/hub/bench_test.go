package hub_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// bench is a hub over a fake gateway, with a client.
type bench struct {
	t       *testing.T
	dir     string
	gateway *fakeGateway
	client  *hubapi.Client
	url     string
	clock   *clock
	transp  *http.Transport
	stop    func()
	// beside are gateways besides the system's, by id; they are connected for what any replica can answer.
	beside map[string]http.RoundTripper
}

// besides is a directory with more gateways.
type besides struct {
	hub.GatewayDirectory
	bench *bench
}

func (d besides) RoundTripper(id string) (http.RoundTripper, bool) {
	if rt, ok := d.bench.beside[id]; ok {
		return rt, true
	}
	return d.GatewayDirectory.RoundTripper(id)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{
		t: t, dir: t.TempDir(), gateway: newFakeGateway(),
		clock: &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	}
	b.start()
	t.Cleanup(func() { b.stop() })
	return b
}

// start opens the records and serves them; after stop it is the next life of the hub.
func (b *bench) start() {
	b.t.Helper()
	records, err := store.OpenSQLite(b.t.Context(), filepath.Join(b.dir, "hub.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.serve(records, records.Close)
}

func (b *bench) serve(records store.Store, closeStore func() error) {
	b.t.Helper()
	gatewayServer := httptest.NewServer(b.gateway.handler())
	toGateway := &http.Transport{}
	h, err := hub.New(hub.Config{
		Store: records, Version: "test", Clock: b.clock.now,
		Gateways: besides{hub.NewSystemGateway(systemID,
			fakeTransport{b.gateway, rewrite{gatewayServer.Listener.Addr().String(), toGateway}}), b},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	server := httptest.NewServer(h.Handler())
	b.url = server.URL
	b.transp = &http.Transport{}
	if b.client, err = hubapi.NewClient(hubapi.Config{Endpoint: server.URL, Transport: b.transp}); err != nil {
		b.t.Fatal(err)
	}
	b.stop = func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Errorf("Run returned %v, want the context's error", err)
		}
		b.transp.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
		toGateway.CloseIdleConnections()
		gatewayServer.CloseClientConnections()
		gatewayServer.Close()
		if err := closeStore(); err != nil {
			b.t.Errorf("closing the store: %v", err)
		}
		b.stop = func() {}
	}
}

// rewrite sends every request to one address.
type rewrite struct {
	addr string
	next http.RoundTripper
}

func (r rewrite) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = r.addr
	return r.next.RoundTrip(req)
}

func accountWrite(name string) hubapi.CloudAccountWrite {
	return hubapi.CloudAccountWrite{
		Name: name,
		Spec: hubapi.CloudAccountSpec{
			GatewayID: hubapi.SystemGatewayID, VCenter: "vc.example.com", Username: "svc@vsphere.local",
		},
		SealedPassword: []byte("sealed-1"),
	}
}

func (b *bench) account(name string) *hubapi.CloudAccount {
	b.t.Helper()
	a, err := b.client.PutCloudAccount(b.t.Context(), uuid.NewString(), accountWrite(name), hubapi.WriteOptions{Create: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func poolWrite(name, subnet, gateway string) hubapi.IPPoolWrite {
	return hubapi.IPPoolWrite{Name: name, Spec: hubapi.IPPoolSpec{
		GatewayID: hubapi.SystemGatewayID, Subnet: subnet, Prefix: 24, Gateway: gateway, CooldownSeconds: 300,
	}}
}

func (b *bench) pool(w hubapi.IPPoolWrite) *hubapi.IPPool {
	b.t.Helper()
	p, err := b.client.PutIPPool(b.t.Context(), uuid.NewString(), w, hubapi.WriteOptions{Create: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func spec(name, accountID string) cluster.Spec {
	placements := []cluster.Placement{{ComputeCluster: "compute-a", Datastore: "vsan-01", Networks: []string{"vm-net"}}}
	strategy := cluster.UpdateStrategy{MaxSurge: 1}
	return cluster.Spec{
		Name: name, CloudAccountID: accountID, KubernetesVersion: "v1.34.1", Datacenter: "dc-north", Folder: "k8s/" + name,
		Template: "ubuntu-2404-kube-v1.34.1", CloneMode: cluster.CloneAuto,
		Endpoint: cluster.Endpoint{Host: "10.10.0.10", Port: 6443},
		Network:  cluster.Network{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: cluster.Pool{
			Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 40, Placements: placements, UpdateStrategy: strategy,
		},
		WorkerPools: map[string]cluster.Pool{"general": {
			Count: 2, CPU: 2, MemoryMiB: 4096, DiskGiB: 40, Placements: placements, UpdateStrategy: strategy,
		}},
	}
}

// create makes a cluster and leaves it unfinished.
func (b *bench) create(s cluster.Spec) *hubapi.Cluster {
	b.t.Helper()
	c, err := b.client.PutCluster(b.t.Context(), uuid.NewString(), hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{Create: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// ready makes a cluster and has the gateway finish it.
func (b *bench) ready(s cluster.Spec) *hubapi.Cluster {
	b.t.Helper()
	c := b.create(s)
	b.finish(c, hubapi.ClusterStatus{
		Phase: hubapi.PhaseReady, Ready: true, Machines: []hubapi.Machine{{Name: s.Name + "-cp-0"}},
	})
	return b.get(c.ID)
}

// finish has the gateway report that it is done with a generation.
func (b *bench) finish(c *hubapi.Cluster, status hubapi.ClusterStatus) {
	b.t.Helper()
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: c.Generation, ObservedGeneration: c.Generation, Status: status, Message: "done",
	}})
	b.gateway.waitAcked(b.t)
}

func (b *bench) get(id string) *hubapi.Cluster {
	b.t.Helper()
	c, err := b.client.Cluster(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// fault is what a test compares of a problem.
type fault struct {
	Code   hubapi.Code
	Status int
	Field  string
}

func faultOf(t *testing.T, err error) fault {
	t.Helper()
	if err == nil {
		return fault{}
	}
	p, ok := errors.AsType[*hubapi.Problem](err)
	if !ok {
		t.Fatalf("not a problem: %v", err)
	}
	if p.RequestID == "" && !hubapi.LostConnection(err) {
		t.Errorf("problem without request id: %v", err)
	}
	return fault{p.Code, p.Status, p.Field}
}
