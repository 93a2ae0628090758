package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// fakeHub keeps what a gateway reports, and acknowledges it.
type fakeHub struct {
	client  *gatewayapi.Client
	gateway *gateway.Gateway
	changed chan struct{}
	stop    func()

	mu       sync.Mutex
	clusters map[string]gatewayapi.ClusterReport
	secrets  map[string][]byte
	messages []string
	epochs   []int64
	pools    map[string]hubapi.IPPoolStatus
	// resigned is how many clusters the gateway was at work on when it gave up its lease; nil before that.
	resigned *int
}

func (h *fakeHub) take(ctx context.Context, r gatewayapi.Report) error {
	h.mu.Lock()
	h.epochs = append(h.epochs, r.Epoch)
	if c := r.Cluster; c != nil {
		h.clusters[c.ID] = *c
		if len(c.SealedSecrets) > 0 {
			h.secrets[c.ID] = c.SealedSecrets
		}
		if c.Message != "" {
			h.messages = append(h.messages, c.Machine+": "+c.Message)
		}
	}
	if r.Pool != nil {
		h.pools[r.Pool.ID] = r.Pool.Status
	}
	if r.Resigned {
		h.resigned = new(h.gateway.State().Clusters)
	}
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
	return h.client.Ack(ctx, gatewayapi.Ack{Boot: r.Boot, Seq: r.Seq})
}

// await waits until the gateway is through with a generation.
func (h *fakeHub) await(t *testing.T, id string, generation int64) gatewayapi.ClusterReport {
	t.Helper()
	return h.awaitUntil(t, id, "the gateway is through", func() bool {
		return h.clusters[id].ObservedGeneration >= generation
	})
}

// awaitUntil waits until something holds of what has been reported.
func (h *fakeHub) awaitUntil(t *testing.T, id, what string, holds func() bool) gatewayapi.ClusterReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		h.mu.Lock()
		report, messages, done := h.clusters[id], strings.Join(h.messages, "\n"), holds()
		h.mu.Unlock()
		if done {
			return report
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s; the gateway said:\n%s\nstatus: %+v", what, messages, report.Status)
		case <-h.changed:
		}
	}
}

func newFakeHub(t *testing.T) (*fakeHub, gateway.Identity) {
	t.Helper()
	identity, err := gateway.LoadIdentity(filepath.Join(t.TempDir(), "gateway.json"))
	if err != nil {
		t.Fatal(err)
	}
	return startGateway(t, identity), identity
}

// startGateway runs a gateway, and a hub for it that knows nothing yet, until the test ends or the hub is stopped.
func startGateway(t *testing.T, identity gateway.Identity, change ...func(*gateway.Config)) *fakeHub {
	t.Helper()
	cfg := gateway.Config{Identity: identity, Version: "test", Pace: 20 * time.Millisecond}
	for _, c := range change {
		c(&cfg)
	}
	g := gateway.New(cfg)
	server := httptest.NewServer(g.Handler())
	h := &fakeHub{
		client:   gatewayapi.NewClient(rebase{server.Listener.Addr().String()}),
		gateway:  g,
		changed:  make(chan struct{}, 1),
		clusters: map[string]gatewayapi.ClusterReport{}, secrets: map[string][]byte{}, pools: map[string]hubapi.IPPoolStatus{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.client.Events(ctx, "", 0, func(r gatewayapi.Report) error { return h.take(ctx, r) })
	}()
	h.stop = sync.OnceFunc(func() {
		closing, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		if err := g.Close(closing); err != nil {
			t.Errorf("closing the gateway: %v", err)
		}
		cancel()
		<-done
		server.Close()
	})
	t.Cleanup(h.stop)
	return h
}

// rebase sends requests for "gateway" to a listener.
type rebase struct{ host string }

// RoundTrip implements http.RoundTripper.
func (r rebase) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = r.host
	return http.DefaultTransport.RoundTrip(req)
}

func accountOf(t *testing.T, id gateway.Identity, vc *testkit.VCenter, password string) gatewayapi.Account {
	t.Helper()
	return accountAt(t, id, vc, vc.Host(), password)
}

// accountAt is an account of a vCenter that is reached at a host, which may be that of a proxy.
func accountAt(t *testing.T, id gateway.Identity, vc *testkit.VCenter, host, password string) gatewayapi.Account {
	t.Helper()
	account := gatewayapi.Account{ID: uuid.NewString(), Project: "default", Name: "lab", Revision: 1, Spec: hubapi.CloudAccountSpec{
		GatewayID: id.ID, VCenter: host, Username: vc.Username(), Trust: hubapi.Trust{CACertificate: vc.CACertificate()},
	}}
	binding, err := hubapi.PasswordBinding(account.Project, account.ID, account.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if account.SealedPassword, err = seal.Seal(id.Key.PublicKey(), binding, []byte(password)); err != nil {
		t.Fatal(err)
	}
	return account
}

func specOf(account gatewayapi.Account, workers int) cluster.Spec {
	pool := cluster.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements:     []cluster.Placement{{ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"}}},
		UpdateStrategy: cluster.UpdateStrategy{MaxSurge: 1},
	}
	general := pool
	general.Count = workers
	return cluster.Spec{
		Name: "prod", CloudAccountID: account.ID, KubernetesVersion: "v1.34.1",
		Datacenter: "dc-north", Folder: "k8s/prod", Template: "ubuntu-2404-kube-v1.34.1", CloneMode: cluster.CloneAuto,
		Endpoint:     cluster.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:      cluster.Network{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: pool, WorkerPools: map[string]cluster.Pool{"general": general},
	}
}

func TestClusterLife(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	before := vc.VMs()
	hub, identity := newFakeHub(t)
	account := accountOf(t, identity, vc, vc.Password())
	a := gatewayapi.Assignment{
		ID: uuid.NewString(), Project: "default", Generation: 1, Account: account, Spec: specOf(account, 2),
	}
	steps := []struct {
		reason   string
		change   func(*gatewayapi.Assignment)
		machines []string
	}{
		{"create", func(*gatewayapi.Assignment) {}, []string{"prod-cp-0", "prod-general-0", "prod-general-1"}},
		{
			"scale out the control plane", func(a *gatewayapi.Assignment) { a.Spec.ControlPlane.Count = 3 },
			[]string{"prod-cp-0", "prod-cp-1", "prod-cp-2", "prod-general-0", "prod-general-1"},
		},
		{
			"scale in", func(a *gatewayapi.Assignment) { a.Spec = specOf(account, 1); a.Spec.ControlPlane.Count = 3 },
			[]string{"prod-cp-0", "prod-cp-1", "prod-cp-2", "prod-general-0"},
		},
		{
			"replace", func(a *gatewayapi.Assignment) { a.Spec.NTPServers = []string{"10.0.0.5"} },
			[]string{"prod-cp-0-r2", "prod-cp-1-r2", "prod-cp-2-r2", "prod-general-0-r2"},
		},
		{"delete", func(a *gatewayapi.Assignment) { a.Deleting = true }, nil},
	}
	for _, step := range steps {
		step.change(&a)
		if err := hub.client.Assign(t.Context(), a); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		report := hub.await(t, a.ID, a.Generation)
		if report.Status.Phase == hubapi.PhaseFailed {
			t.Fatalf("%s: %s\n%s", step.reason, report.Status.Message, strings.Join(hub.messages, "\n"))
		}
		var names []string
		for _, m := range report.Status.Machines {
			names = append(names, m.Name)
		}
		if got, want := strings.Join(names, " "), strings.Join(step.machines, " "); got != want {
			t.Fatalf("%s: machines %s, want %s", step.reason, got, want)
		}
		if !a.Deleting && !report.Status.Ready {
			t.Fatalf("%s: not ready: %+v", step.reason, report.Status)
		}
		a.Generation++
		a.Status, a.SealedSecrets = report.Status, hub.secrets[a.ID]
	}
	if got, want := strings.Join(vc.VMs(), " "), strings.Join(before, " "); got != want {
		t.Errorf("after the delete there is %s, before the create there was %s", got, want)
	}
}

func TestWrongPasswordIsOneAttempt(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	hub, identity := newFakeHub(t)
	account := accountOf(t, identity, vc, "wrong")
	for range 2 {
		_, err := hub.client.VerifyAccount(t.Context(), account)
		if !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeCredentials}) {
			t.Fatalf("got %v", err)
		}
	}
	if n := vc.FailedLogins(); n != 1 {
		t.Errorf("%d logins were tried with the wrong password, want one", n)
	}
}
