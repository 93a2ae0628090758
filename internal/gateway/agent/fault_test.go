package agent

import (
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

// line carries connections to an address, and can be frozen: nothing passes, and nobody is told.
type line struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	open    []net.Conn
	moving  chan struct{} // closed while nothing stands in the way
	running sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{listener: listener, to: to, moving: make(chan struct{})}
	close(l.moving)
	l.running.Go(l.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		l.freeze(false)
		l.mu.Lock()
		for _, c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.running.Wait()
	})
	return l
}

func (l *line) freeze(frozen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.moving:
		if frozen {
			l.moving = make(chan struct{})
		}
	default:
		if !frozen {
			close(l.moving)
		}
	}
}

func (l *line) wait() {
	l.mu.Lock()
	moving := l.moving
	l.mu.Unlock()
	<-moving
}

func (l *line) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		l.mu.Lock()
		l.open = append(l.open, in, out)
		l.mu.Unlock()
		l.running.Go(func() { l.carry(in, out) })
		l.running.Go(func() { l.carry(out, in) })
	}
}

func (l *line) carry(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.wait()
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// cluster puts a cluster with three machines at the site's hub, and returns it as it was written.
func (s *site) cluster(vc *testkit.VCenter) *hubapi.Cluster {
	s.t.Helper()
	ctx := s.t.Context()
	account := uuid.NewString()
	spec := hubapi.CloudAccountSpec{
		GatewayID: s.gateway.ID, VCenter: vc.Host(), Username: vc.Username(), Trust: hubapi.Trust{CACertificate: vc.CACertificate()},
	}
	sealed, _, err := s.client.SealPassword(ctx, account, spec, "", vc.Password())
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.client.PutCloudAccount(ctx, account,
		hubapi.CloudAccountWrite{Name: "lab", Spec: spec, SealedPassword: sealed}, hubapi.WriteOptions{Create: true})
	if err != nil {
		s.t.Fatal(err)
	}
	pool := hubapi.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements:     []hubapi.Placement{{ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"}}},
		UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
	}
	general := pool
	general.Count = 2
	written, err := s.client.PutCluster(ctx, uuid.NewString(), hubapi.ClusterWrite{Spec: hubapi.ClusterSpec{
		Name: "edge", CloudAccountID: account, KubernetesVersion: "v1.34.1",
		Datacenter: "dc-north", Folder: "k8s/edge", Template: "ubuntu-2404-kube-v1.34.1", CloneMode: "auto",
		Endpoint:     hubapi.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:      hubapi.ClusterNetwork{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: pool, WorkerPools: map[string]hubapi.Pool{"general": general},
	}}, hubapi.WriteOptions{Create: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return written
}

// watch follows a cluster until it is as asked or has failed, and calls at when something was said.
func (s *site) watch(c *hubapi.Cluster, at func(message string)) {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	var after int64
	for time.Now().Before(deadline) {
		done := false
		err := s.client.WatchCluster(s.t.Context(), c.ID, after, func(e hubapi.Event) error {
			s.t.Logf("%s %s: %s", e.Time.Format("05.000"), e.Machine, e.Message)
			after = e.Seq
			at(e.Message)
			if e.ObservedGeneration >= c.Generation {
				done = true
				return hubapi.ErrStop
			}
			return nil
		})
		if done {
			return
		}
		if err != nil {
			s.t.Logf("watching: %v", err)
		}
	}
	s.t.Fatal("the cluster was not through in time")
}

// is wants the cluster to be ready, with its machines once each.
func (s *site) is(c *hubapi.Cluster, vc *testkit.VCenter, before []string) {
	s.t.Helper()
	found, err := s.client.Cluster(s.t.Context(), c.ID)
	if err != nil || !found.Status.Ready {
		s.t.Fatalf("the cluster is %+v, %v", found.Status, err)
	}
	var made []string
	for _, vm := range vc.VMs() {
		if !slices.Contains(before, vm) {
			made = append(made, path.Base(vm))
		}
	}
	slices.Sort(made)
	if diff := cmp.Diff([]string{"edge-cp-0", "edge-general-0", "edge-general-1"}, made); diff != "" {
		s.t.Errorf("machines (-want +got): %s", diff)
	}
	if v := vc.Violations(); len(v) > 0 {
		s.t.Error(strings.Join(v, "\n"))
	}
}

// TestFrozenHolder freezes the path of the replica that works, in the middle of a create. The other takes over within 15
// seconds, the first stops by itself, and each machine is made once.
func TestFrozenHolder(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{Guests: testkit.GuestOptions{PhaseDelay: 1500 * time.Millisecond}})
	before := vc.VMs()
	s := newSite(t, hubapi.GatewaySpec{})
	dirs := []string{newDir(t), newDir(t)}
	way := newLine(t, s.hub.Addresses.Hub)
	first, err := s.pair(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	setHub(t, dirs[0], "https://"+way.listener.Addr().String())
	s.run(dirs[0])
	s.until("the first replica works", online(1))
	if _, err := s.pair(dirs[1]); err != nil {
		t.Fatal(err)
	}
	s.run(dirs[1])
	s.until("both are there", online(2))
	c := s.cluster(vc)
	var frozen, taken time.Time
	s.watch(c, func(message string) {
		switch {
		case frozen.IsZero() && strings.Contains(message, "clone"):
			way.freeze(true)
			frozen = time.Now()
		case taken.IsZero() && !frozen.IsZero() && time.Since(frozen) > 2*time.Second:
			taken = time.Now()
		}
	})
	if took := taken.Sub(frozen); taken.IsZero() || took > 15*time.Second {
		t.Errorf("taken over after %s", took)
	} else {
		t.Logf("taken over after %s", took)
	}
	status, err := ReadStatus(t.Context(), dirs[0], "test")
	if err != nil || status.Running.Gateway.Holder {
		t.Errorf("the frozen replica believes that it has the lease: %+v, %v", status.Running, err)
	}
	s.is(c, vc, before)
	way.freeze(false)
	s.until("the frozen replica is back, and does not work", func(g *hubapi.Gateway) bool {
		return online(2)(g) && slices.ContainsFunc(g.Status.Replicas, func(r hubapi.GatewayReplica) bool {
			return r.ID == first.Replica && !r.Holder
		})
	})
	s.is(c, vc, before)
}

// TestHubGoneInTheMiddle stops the hub in the middle of a create for longer than a lease of several replicas lasts, and
// starts it again.
func TestHubGoneInTheMiddle(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{Guests: testkit.GuestOptions{PhaseDelay: 300 * time.Millisecond}})
	before := vc.VMs()
	s := newSite(t, hubapi.GatewaySpec{})
	dir := newDir(t)
	if _, err := s.pair(dir); err != nil {
		t.Fatal(err)
	}
	s.run(dir)
	s.until("the replica works", online(1))
	c := s.cluster(vc)
	s.watchUntil(c, "clone")
	s.hub.Stop()
	<-time.After(3 * time.Second)
	s.hub = hubtest.Start(t, func(cfg *service.Config) { cfg.DataDir, cfg.Listen = s.hub.Config.DataDir, s.hub.Addresses.Hub })
	s.client = s.hub.Client("default", hubapi.RoleAdmin)
	s.watch(c, func(string) {})
	s.is(c, vc, before)
}

// watchUntil follows a cluster until something is said.
func (s *site) watchUntil(c *hubapi.Cluster, word string) {
	s.t.Helper()
	err := s.client.WatchCluster(s.t.Context(), c.ID, 0, func(e hubapi.Event) error {
		if strings.Contains(e.Message, word) {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}
