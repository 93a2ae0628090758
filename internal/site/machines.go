package site

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// The names of the cluster that tests are about, and of the pool that its machines have their addresses from.
const (
	ClusterName = "crash"
	PoolName    = "nodes"
)

// workLimit is how long a cluster of a few machines may take, whatever happens on the way.
const workLimit = 4 * time.Minute

// Spec is the site's cluster, with one control plane machine and some workers.
func (s *Site) Spec(workers int) hubapi.ClusterSpec {
	pool := hubapi.Pool{
		Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20,
		Placements: []hubapi.Placement{{
			ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"}, IPPoolID: s.Pool,
		}},
		UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
	}
	general := pool
	general.Count = workers
	return hubapi.ClusterSpec{
		Name: ClusterName, CloudAccountID: s.Account, KubernetesVersion: "v1.34.1",
		Datacenter: "dc-north", Folder: "k8s/crash", Template: "ubuntu-2404-kube-v1.34.1", CloneMode: "auto",
		Endpoint:     hubapi.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:      hubapi.ClusterNetwork{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: pool, WorkerPools: map[string]hubapi.Pool{"general": general},
	}
}

// Slots are what Verify expects of Spec.
func Slots(workers int) []string {
	slots := []string{ClusterName + "-cp-0"}
	for i := range workers {
		slots = append(slots, fmt.Sprintf("%s-general-%d", ClusterName, i))
	}
	return slots
}

// Work is a change of a cluster under way.
type Work struct {
	tb   testing.TB
	done chan struct{}
	err  error
	// Events are what the hub told meanwhile; read them when Wait has returned.
	Events []hubapi.Event
}

// Write writes the cluster, makes it if it is not there, and waits for it in the background.
func (s *Site) Write(spec hubapi.ClusterSpec) *Work {
	return s.begin(func(ctx context.Context, w *Work) error {
		id := uuid.NewString()
		found, err := s.Client.ClusterByName(ctx, spec.Name)
		switch {
		case err == nil:
			id = found.ID
		case !errors.Is(err, hubapi.ErrNotFound):
			return err
		}
		written, err := s.Client.PutCluster(ctx, id, hubapi.ClusterWrite{Spec: spec}, hubapi.WriteOptions{Create: found == nil})
		if err != nil {
			return err
		}
		return w.await(ctx, s.Client, written.ID, written.Generation)
	})
}

// Delete deletes the cluster and waits in the background until it is gone.
func (s *Site) Delete() *Work {
	return s.begin(func(ctx context.Context, w *Work) error {
		found, err := s.Client.ClusterByName(ctx, ClusterName)
		if errors.Is(err, hubapi.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Client.DeleteCluster(ctx, found.ID); err != nil {
			return err
		}
		return w.await(ctx, s.Client, found.ID, 0)
	})
}

func (s *Site) begin(work func(context.Context, *Work) error) *Work {
	w := &Work{tb: s.tb, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(s.tb.Context(), workLimit)
	go func() {
		defer cancel()
		w.err = work(ctx, w)
		close(w.done)
	}()
	return w
}

// Done is closed when the work has ended, well or not.
func (w *Work) Done() <-chan struct{} { return w.done }

// Wait waits until the work is done and fails the test if it did not end well.
func (w *Work) Wait() {
	w.tb.Helper()
	<-w.done
	if w.err != nil {
		w.tb.Fatalf("the work on the cluster failed: %v\n%s", w.err, w.story())
	}
}

// await waits until the gateway is through with a generation, or, for 0, until the cluster is gone.
func (w *Work) await(ctx context.Context, client *hubapi.Client, id string, generation int64) error {
	var failed error
	err := client.WatchCluster(ctx, id, 0, func(e hubapi.Event) error {
		w.Events = append(w.Events, e)
		switch {
		case e.Gone:
			return hubapi.ErrStop
		case generation > 0 && e.ObservedGeneration >= generation, generation == 0 && e.Phase == hubapi.PhaseFailed:
			if e.Phase == hubapi.PhaseFailed {
				failed = errors.New(e.Message)
			}
			return hubapi.ErrStop
		}
		return nil
	})
	if errors.Is(err, hubapi.ErrNotFound) && generation == 0 {
		return nil
	}
	return errors.Join(err, failed)
}

// story is what was told of late.
func (w *Work) story() string {
	var lines []string
	for _, e := range w.Events[max(0, len(w.Events)-40):] {
		lines = append(lines, fmt.Sprintf("%s g%d/%d %s %s: %s",
			e.Time.Format(time.StampMilli), e.ObservedGeneration, e.Generation, e.Phase, e.Machine, e.Message))
	}
	return strings.Join(lines, "\n")
}

// generation is what a replacement's name has besides the slot it fills.
var generation = regexp.MustCompile(`-r\d+$`)

// Left are the names of the VMs that were not there when the site was made.
func (s *Site) Left() []string {
	var names []string
	for _, path := range s.VCenter.VMs() {
		if !slices.Contains(s.foreign, path) {
			names = append(names, path[strings.LastIndexByte(path, '/')+1:])
		}
	}
	slices.Sort(names)
	return names
}

// Verify asserts what must be true whatever has happened: exactly one machine in each slot, nothing of others touched, and
// addresses held by exactly the machines.
func (s *Site) Verify(reason string, slots ...string) {
	s.tb.Helper()
	found := s.Left()
	var got []string
	for _, name := range found {
		got = append(got, generation.ReplaceAllString(name, ""))
	}
	slices.Sort(got)
	all := s.VCenter.VMs()
	if diff := cmp.Diff(slots, got); diff != "" {
		s.tb.Fatalf("%s: machines (-want +got):\n%s", reason, diff)
	}
	for _, path := range s.foreign {
		if !slices.Contains(all, path) {
			s.tb.Fatalf("%s: foreign VM %s is gone", reason, path)
		}
	}
	if violations := s.VCenter.Violations(); len(violations) > 0 {
		s.tb.Fatalf("%s: %s", reason, strings.Join(violations, "\n"))
	}
	s.verifyRecords(reason, found)
}

// verifyRecords asserts that the hub says the same. What a gateway reports last may come a little later than what it is
// about, and a machine's address goes when its VM has gone.
func (s *Site) verifyRecords(reason string, machines []string) {
	s.tb.Helper()
	Eventually(s.tb, startLimit, reason+": the hub knows", func() error {
		pool, err := s.Client.IPPoolByName(s.tb.Context(), PoolName)
		if err != nil {
			return err
		}
		holders := map[string]bool{}
		for _, lease := range pool.Status.Leases {
			if lease.ReleasedAt == nil {
				holders[lease.Machine] = true
			}
		}
		if diff := cmp.Diff(machines, slices.Sorted(maps.Keys(holders))); diff != "" || pool.Status.Used != len(machines) {
			return fmt.Errorf("leases (-want +got), %d used:\n%s", pool.Status.Used, diff)
		}
		return s.verifyReady(machines)
	})
}

func (s *Site) verifyReady(machines []string) error {
	found, err := s.Client.ClusterByName(s.tb.Context(), ClusterName)
	switch {
	case len(machines) == 0 && errors.Is(err, hubapi.ErrNotFound):
		return nil
	case err != nil:
		return err
	case len(machines) == 0:
		return errors.New("the hub still has the cluster")
	case !found.Status.Ready || found.ObservedGeneration != found.Generation:
		return fmt.Errorf("the cluster is not ready: %+v", found.Status)
	default:
		return nil
	}
}
