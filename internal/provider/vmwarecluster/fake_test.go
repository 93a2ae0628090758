package vmwarecluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// fakeHub is a hub whose gateway does what a script says as soon as somebody watches.
type fakeHub struct {
	mu       sync.Mutex
	clusters map[string]hubapi.Cluster
	events   map[string][]hubapi.Event
	seq      int64
	calls    []string

	// work is what the gateway makes of a cluster that was written or is to be deleted; nil makes it as asked. Returning
	// false leaves it as it is: the gateway goes on working.
	work func(c *hubapi.Cluster) bool
	// problems are what previews find.
	problems []hubapi.ClusterProblem
	// elsewhere tells that this is another hub than the one that has the clusters' cloud account and gateway.
	elsewhere bool
	// putErr, when set, is what writes end with.
	putErr error
}

var (
	_ reads   = (*fakeHub)(nil)
	_ writes  = (*fakeHub)(nil)
	_ records = (*fakeHub)(nil)
)

// origin is the gateway that makes the clusters.
const origin = "gateway-1"

func newFakeHub() *fakeHub {
	return &fakeHub{clusters: map[string]hubapi.Cluster{}, events: map[string][]hubapi.Event{}}
}

func (f *fakeHub) call(name string) {
	f.calls = append(f.calls, name)
}

func (f *fakeHub) Cluster(_ context.Context, id string) (*hubapi.Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("Cluster")
	return f.get(id)
}

func (f *fakeHub) get(id string) (*hubapi.Cluster, error) {
	c, ok := f.clusters[id]
	if !ok {
		return nil, hubapi.NewProblem(hubapi.CodeNotFound, "there is no cluster %s", id)
	}
	return &c, nil
}

func (f *fakeHub) CloudAccount(_ context.Context, id string) (*hubapi.CloudAccount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.elsewhere {
		return nil, hubapi.NewProblem(hubapi.CodeNotFound, "there is no cloud account %s", id)
	}
	return &hubapi.CloudAccount{}, nil
}

func (f *fakeHub) Gateway(_ context.Context, id string) (*hubapi.Gateway, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.elsewhere || id != origin {
		return nil, hubapi.NewProblem(hubapi.CodeNotFound, "there is no gateway %s", id)
	}
	return &hubapi.Gateway{}, nil
}

func (f *fakeHub) RefreshCluster(_ context.Context, id string) (*hubapi.Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("RefreshCluster")
	return f.get(id)
}

func (f *fakeHub) ClusterByName(_ context.Context, name string) (*hubapi.Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("ClusterByName")
	for _, c := range f.clusters {
		if c.Name == name {
			return &c, nil
		}
	}
	return nil, hubapi.NewProblem(hubapi.CodeNotFound, "there is no cluster named %s", name)
}

func (f *fakeHub) PreviewCluster(_ context.Context, p hubapi.ClusterPreview) (*hubapi.Preview, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("PreviewCluster")
	if c, ok := f.clusters[p.ID]; ok && c.DeletedAt != nil {
		return &hubapi.Preview{Problems: []hubapi.ClusterProblem{{Severity: hubapi.SeverityError, Message: "it is being deleted"}}}, nil
	}
	preview := hubapi.Preview{Problems: f.problems}
	for _, c := range f.clusters {
		if p.ID != "" || c.Name != p.Spec.Name {
			continue
		}
		if c.Status.EverReady && !reflect.DeepEqual(c.Spec, p.Spec) {
			return &hubapi.Preview{Problems: []hubapi.ClusterProblem{{
				Severity: hubapi.SeverityError, Field: "/name", Message: "a cluster of this name exists",
			}}}, nil
		}
		p.ID = c.ID
	}
	add := func(format string, args ...any) {
		preview.Operations = append(preview.Operations, hubapi.Operation{Machine: fmt.Sprint(args...)})
		preview.Summary = append(preview.Summary, fmt.Sprintf(format, args...))
	}
	have := map[string]hubapi.Machine{}
	for _, m := range f.clusters[p.ID].Status.Machines {
		have[m.Name] = m
	}
	for _, want := range machinesOf(p.Spec) {
		m, ok := have[want.Name]
		delete(have, want.Name)
		switch {
		case !ok:
			add("clone %s", want.Name)
		case m.Version != want.Version:
			add("replace %s", want.Name)
		case m.State != want.State:
			add("repair %s", want.Name)
		}
	}
	for name := range have {
		add("destroy %s", name)
	}
	slices.Sort(preview.Summary)
	return &preview, nil
}

func (f *fakeHub) PutCluster(
	_ context.Context, id string, w hubapi.ClusterWrite, opts hubapi.WriteOptions,
) (*hubapi.Cluster, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("PutCluster")
	if f.putErr != nil {
		return nil, f.putErr
	}
	c, ok := f.clusters[id]
	if opts.Create {
		for _, other := range f.clusters {
			if other.Name == w.Spec.Name {
				c, ok = other, true // taken over
			}
		}
	}
	if !ok {
		c.Meta = hubapi.Meta{ID: id, Name: w.Spec.Name}
		c.Status.Phase, c.Status.Origin = hubapi.PhasePending, origin
	}
	if c.DeletedAt != nil {
		return nil, hubapi.NewProblem(hubapi.CodeBusy, "it is being deleted")
	}
	if opts.IfGeneration != 0 && opts.IfGeneration != c.Generation {
		return nil, hubapi.NewProblem(hubapi.CodeConflict, "the cluster has changed")
	}
	c.Spec = w.Spec
	c.Generation++
	f.clusters[c.ID] = c
	return &c, nil
}

func (f *fakeHub) DeleteCluster(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.call("DeleteCluster")
	c, err := f.get(id)
	if err != nil {
		return err
	}
	now := time.Now()
	c.DeletedAt, c.Status.Phase = &now, hubapi.PhaseDeleting
	c.Generation++
	f.clusters[id] = *c
	return nil
}

func (f *fakeHub) WatchCluster(ctx context.Context, id string, after int64, fn func(hubapi.Event) error) error {
	f.mu.Lock()
	f.call("WatchCluster")
	if _, err := f.get(id); err != nil {
		f.mu.Unlock()
		return err
	}
	f.advance(id)
	events := slices.Clone(f.events[id])
	f.mu.Unlock()
	for _, e := range events {
		if e.Seq <= after {
			continue
		}
		if err := fn(e); err != nil {
			if errors.Is(err, hubapi.ErrStop) {
				return nil
			}
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

// advance has the gateway do its work, if there is any.
func (f *fakeHub) advance(id string) {
	c := f.clusters[id]
	if c.ObservedGeneration >= c.Generation {
		return
	}
	work := f.work
	if work == nil {
		work = asAsked
	}
	if c.DeletedAt == nil {
		c.Status.Phase = hubapi.PhaseProvisioning
	}
	f.say(c, "working")
	done := work(&c)
	if done {
		c.ObservedGeneration = c.Generation
	}
	if done && c.DeletedAt != nil && c.Status.Phase != hubapi.PhaseFailed {
		delete(f.clusters, id)
		f.seq++
		f.events[id] = append(f.events[id], hubapi.Event{Seq: f.seq, Generation: c.Generation, Gone: true})
		return
	}
	f.clusters[id] = c
	if done {
		f.say(c, "finished "+c.Status.Message)
	}
}

func (f *fakeHub) say(c hubapi.Cluster, message string) {
	f.seq++
	f.events[c.ID] = append(f.events[c.ID], hubapi.Event{
		Seq: f.seq, Phase: c.Status.Phase, Generation: c.Generation, ObservedGeneration: c.ObservedGeneration, Message: message,
	})
}

// asAsked is a gateway with which everything works.
func asAsked(c *hubapi.Cluster) bool {
	c.Status.Phase, c.Status.Ready, c.Status.EverReady, c.Status.Message = hubapi.PhaseReady, true, true, ""
	c.Status.Machines = machinesOf(c.Spec)
	c.Status.Conditions = []hubapi.Condition{{Type: "Ready", Status: true, Reason: "AsAsked"}}
	return true
}

// fails is a gateway with which nothing works.
func fails(message string) func(c *hubapi.Cluster) bool {
	return func(c *hubapi.Cluster) bool {
		c.Status.Phase, c.Status.Ready, c.Status.Message = hubapi.PhaseFailed, false, message
		return true
	}
}

// hangs is a gateway that never finishes.
func hangs(*hubapi.Cluster) bool { return false }

func machinesOf(spec hubapi.ClusterSpec) []hubapi.Machine {
	var machines []hubapi.Machine
	for _, pool := range spec.Pools() {
		for i := range pool.Count {
			machines = append(machines, hubapi.Machine{
				Name: fmt.Sprintf("%s-%s-%d", spec.Name, pool.Name, i), Pool: pool.Name, State: "ready",
				Version: spec.KubernetesVersion, InstanceUUID: fmt.Sprintf("uuid-%s-%d", pool.Name, i), Addresses: []string{"10.0.0.1"},
			})
		}
	}
	return machines
}

// change changes the world behind Terraform's back.
func (f *fakeHub) change(name string, change func(c *hubapi.Cluster)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, c := range f.clusters {
		if c.Name == name {
			c.Status.Machines = slices.Clone(c.Status.Machines)
			change(&c)
			f.clusters[id] = c
		}
	}
}

// took returns the calls since the last time it was asked.
func (f *fakeHub) took(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, call := range f.calls {
		if call == name {
			n++
		}
	}
	f.calls = nil
	return n
}
