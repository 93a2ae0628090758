package hub_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestClusterLife(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	s := spec("prod", account.ID)

	c := b.create(s)
	if diff := cmp.Diff(hubapi.PhaseProvisioning, c.Status.Phase); diff != "" {
		t.Errorf("phase after create (-want +got):\n%s", diff)
	}
	given := b.gateway.assignments()
	if len(given) != 1 || given[0].ID != c.ID || given[0].Generation != 1 || given[0].Deleting ||
		string(given[0].Account.SealedPassword) != "sealed-1" || given[0].Account.Spec.GatewayID != systemID {
		t.Fatalf("assigned %+v", given)
	}

	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: 1, SealedSecrets: []byte("pki"),
		Status: hubapi.ClusterStatus{Phase: hubapi.PhaseProvisioning, FoldersCreated: []string{"/dc/vm/k8s"}},
	}})
	b.finish(c, hubapi.ClusterStatus{Phase: hubapi.PhaseReady, Ready: true})
	c = b.get(c.ID)
	if c.ObservedGeneration != 1 || !c.Status.EverReady || len(c.Status.FoldersCreated) != 1 {
		t.Errorf("after the create: %+v", c)
	}

	s.WorkerPools["general"] = func() cluster.Pool { p := s.WorkerPools["general"]; p.Count = 3; return p }()
	c, err := b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{IfGeneration: 1})
	if err != nil {
		t.Fatal(err)
	}
	if c.Generation != 2 || c.Status.Phase != hubapi.PhaseUpdating {
		t.Errorf("after the update: generation %d, phase %s", c.Generation, c.Status.Phase)
	}
	if given = b.gateway.assignments(); string(given[1].SealedSecrets) != "pki" {
		t.Errorf("sealed secrets were not given back to the gateway")
	}
	b.finish(c, hubapi.ClusterStatus{Phase: hubapi.PhaseReady, Ready: true})

	if err := b.client.DeleteCluster(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	c = b.get(c.ID)
	if c.DeletedAt == nil || c.Generation != 3 || c.Status.Phase != hubapi.PhaseDeleting {
		t.Errorf("after the delete: %+v", c)
	}
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{ID: c.ID, Generation: 3, Gone: true}})
	b.gateway.waitAcked(t)
	if _, err := b.client.Cluster(t.Context(), c.ID); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("the cluster is still there: %v", err)
	}
	var last hubapi.Event
	err = b.client.WatchCluster(t.Context(), c.ID, 0, func(e hubapi.Event) error {
		last = e
		if e.Gone {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil || !last.Gone || last.ObservedGeneration != 3 {
		t.Errorf("watching what is gone: %v, last %+v", err, last)
	}
	if err := b.client.WatchCluster(t.Context(), c.ID, last.Seq, nil); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("watching past the end: %v", err)
	}
}

func TestClusterCreateAdoption(t *testing.T) {
	other := func(s cluster.Spec) cluster.Spec { s.ControlPlane.CPU = 8; return s }
	for name, tc := range map[string]struct {
		reason  string
		prepare func(b *bench, s cluster.Spec) *hubapi.Cluster
		spec    func(cluster.Spec) cluster.Spec
		want    fault
		adopted bool
		// generation is what the adopted cluster is at; assigned how often the gateway has been given a cluster.
		generation int64
		assigned   int
	}{
		"identical and unfinished": {
			reason:  "a create whose answer was lost goes on with its own generation",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster { return b.create(s) },
			adopted: true, generation: 1, assigned: 2,
		},
		"identical and ready": {
			reason:  "a create that finished after its client died is simply found",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster { return b.ready(s) },
			adopted: true, generation: 1, assigned: 1,
		},
		"identical and failed": {
			reason: "a failed create is tried again",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster {
				c := b.create(s)
				b.finish(c, hubapi.ClusterStatus{Phase: hubapi.PhaseFailed})
				return c
			},
			adopted: true, generation: 2, assigned: 2,
		},
		"different and never ready": {
			reason:  "what never came to be may become something else",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster { return b.create(s) },
			spec:    other, adopted: true, generation: 2, assigned: 2,
		},
		"different and ready": {
			reason:  "a living cluster is not taken over by its name",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster { return b.ready(s) },
			spec:    other, want: fault{hubapi.CodeAlreadyExists, http.StatusConflict, "/name"},
		},
		"being deleted": {
			reason: "a cluster on its way out cannot be resumed",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster {
				c := b.create(s)
				if err := b.client.DeleteCluster(b.t.Context(), c.ID); err != nil {
					b.t.Fatal(err)
				}
				return c
			},
			want: fault{hubapi.CodeBusy, http.StatusConflict, ""},
		},
		"with machines, bound by what they were made for": {
			reason: "the endpoint of machines that exist cannot change",
			prepare: func(b *bench, s cluster.Spec) *hubapi.Cluster {
				c := b.create(s)
				b.finish(c, hubapi.ClusterStatus{Phase: hubapi.PhaseFailed, Machines: []hubapi.Machine{{Name: "m"}}})
				return c
			},
			spec: func(s cluster.Spec) cluster.Spec { s.Endpoint.Host = "10.10.0.11"; return s },
			want: fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, "/control_plane_endpoint/host"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := spec("prod", b.account("prod").ID)
			first := tc.prepare(b, s)
			if tc.spec != nil {
				s = tc.spec(s)
			}
			got, err := b.client.PutCluster(t.Context(), uuid.NewString(), hubapi.ClusterWrite{Spec: s},
				hubapi.WriteOptions{Create: true})
			if diff := cmp.Diff(tc.want, faultOf(t, err)); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if !tc.adopted {
				return
			}
			if got.ID != first.ID || got.Generation != tc.generation || !cmp.Equal(s, got.Spec) {
				t.Errorf("%s: got %s at generation %d, want %s at %d", tc.reason, got.ID, got.Generation, first.ID, tc.generation)
			}
			if n := len(b.gateway.assignments()); n != tc.assigned {
				t.Errorf("%s: gateway was given the cluster %d times, want %d", tc.reason, n, tc.assigned)
			}
		})
	}
}

func TestClusterWriteRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		change func(b *bench, s *cluster.Spec)
		o      hubapi.WriteOptions
		want   fault
	}{
		"invalid": {
			reason: "an even control plane has no quorum to gain",
			change: func(_ *bench, s *cluster.Spec) { s.ControlPlane.Count = 2 },
			want:   fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, "/control_plane/count"},
		},
		"immutable": {
			reason: "machines are in the datacenter",
			change: func(_ *bench, s *cluster.Spec) { s.Datacenter = "dc-south" },
			want:   fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, "/datacenter"},
		},
		"unknown pool": {
			reason: "the pool is named at its placement",
			change: func(_ *bench, s *cluster.Spec) {
				p := s.WorkerPools["general"]
				p.Placements = []cluster.Placement{p.Placements[0]}
				p.Placements[0].IPPoolID = uuid.NewString()
				s.WorkerPools = map[string]cluster.Pool{"general": p}
			},
			want: fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, "/worker_pools/general/placements/0/ip_pool_id"},
		},
		"based on an old generation": {
			reason: "somebody else has written in between",
			change: func(*bench, *cluster.Spec) {},
			o:      hubapi.WriteOptions{IfGeneration: 7},
			want:   fault{hubapi.CodeConflict, http.StatusPreconditionFailed, ""},
		},
		"gateway busy": {
			reason: "the gateway works on another generation",
			change: func(b *bench, s *cluster.Spec) {
				s.ControlPlane.CPU = 4
				b.gateway.refuse[gatewayapi.PathAssign] = hubapi.NewProblem(hubapi.CodeBusy, "generation 1 is being worked on")
			},
			want: fault{hubapi.CodeBusy, http.StatusConflict, ""},
		},
		"vCenter unreachable": {
			reason: "what the gateway cannot reach is not the hub's own trouble, and is not repeated",
			change: func(b *bench, s *cluster.Spec) {
				s.ControlPlane.CPU = 4
				p := hubapi.NewProblem(hubapi.CodeUnreachable, "no route to vc.example.com")
				p.Status = http.StatusBadGateway
				b.gateway.refuse[gatewayapi.PathAssign] = p
			},
			want: fault{hubapi.CodeUnreachable, http.StatusFailedDependency, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			s := spec("prod", b.account("prod").ID)
			before := b.ready(s)
			b.gateway.set(func() { tc.change(b, &s) })
			_, err := b.client.PutCluster(t.Context(), before.ID, hubapi.ClusterWrite{Spec: s}, tc.o)
			if diff := cmp.Diff(tc.want, faultOf(t, err)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			after := b.get(before.ID)
			after.Revision = before.Revision
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("%s: the record changed (-before +after):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRefusedNumberIsNotGivenToAnotherSpec(t *testing.T) {
	b := newBench(t)
	s := spec("prod", b.account("prod").ID)
	c := b.ready(s)
	s.ControlPlane.CPU = 4
	b.gateway.set(func() {
		b.gateway.refuse[gatewayapi.PathAssign] = hubapi.NewProblem(hubapi.CodeBusy, "busy")
	})
	_, err := b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{})
	if !errors.Is(err, hubapi.ErrBusy) {
		t.Fatalf("got %v, want busy", err)
	}
	b.gateway.set(func() { b.gateway.refuse = nil })
	s.ControlPlane.CPU = 8
	c, err = b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{IfGeneration: 1})
	if err != nil {
		t.Fatal(err)
	}
	if c.Generation != 3 {
		t.Errorf("generation is %d, want 3: number 2 may have reached the gateway with another spec", c.Generation)
	}
}

func TestGatewayDown(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	b.gateway.set(func() { b.gateway.down = true })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	id := uuid.NewString()
	_, err := b.client.PutCluster(ctx, id, hubapi.ClusterWrite{Spec: spec("prod", account.ID)}, hubapi.WriteOptions{Create: true})
	if diff := cmp.Diff(fault{hubapi.CodeUnreachable, http.StatusServiceUnavailable, ""}, faultOf(t, err)); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	if _, err := b.client.Cluster(ctx, id); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("a cluster that the gateway never got was kept: %v", err)
	}
	b.gateway.set(func() { b.gateway.down = false })
	_, err = b.client.PutCluster(ctx, id, hubapi.ClusterWrite{Spec: spec("prod", account.ID)}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Errorf("create after the gateway came back: %v", err)
	}
}

func TestRepeatedWrites(t *testing.T) {
	b := newBench(t)
	s := spec("prod", b.account("prod").ID)
	c := b.create(s)
	again, err := b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{Create: true})
	if err != nil || again.Generation != 1 || again.ID != c.ID {
		t.Errorf("the same create again: %+v, %v", again, err)
	}
	b.finish(c, hubapi.ClusterStatus{Phase: hubapi.PhaseReady, Ready: true})

	again, err = b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{IfGeneration: 1})
	if err != nil || again.Generation != 2 {
		t.Fatalf("an update that repairs drift has the same spec and is work: %+v, %v", again, err)
	}
	again, err = b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: s}, hubapi.WriteOptions{IfGeneration: 1})
	if err != nil || again.Generation != 2 {
		t.Errorf("the same update again, its answer having been lost: %+v, %v", again, err)
	}
	if err := b.client.DeleteCluster(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.client.DeleteCluster(t.Context(), c.ID); err != nil {
		t.Errorf("the same delete again: %v", err)
	}
	given := b.gateway.assignments()
	if last := given[len(given)-1]; !last.Deleting || last.Generation != 3 {
		t.Errorf("last assignment is %+v, want deleting at generation 3", last)
	}
}

func TestSecondApplyMeetsTheFirst(t *testing.T) {
	b := newBench(t)
	s := spec("prod", b.account("prod").ID)
	c := b.create(s)
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: 1, Message: "cloning", Status: hubapi.ClusterStatus{Phase: hubapi.PhaseProvisioning},
	}})
	watching, stop := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		stop <- b.client.WatchCluster(ctx, c.ID, 0, func(hubapi.Event) error { close(watching); return nil })
	}()
	<-watching

	write := func(s cluster.Spec, o hubapi.WriteOptions) error {
		_, err := b.client.PutCluster(t.Context(), uuid.NewString(), hubapi.ClusterWrite{Spec: s}, o)
		return err
	}
	other := s
	other.NTPServers = []string{"10.0.0.1"}
	for reason, err := range map[string]error{
		"the same create from elsewhere":    write(s, hubapi.WriteOptions{Create: true}),
		"another create with the same name": write(other, hubapi.WriteOptions{Create: true}),
		"a delete while it is created":      b.client.DeleteCluster(t.Context(), c.ID),
	} {
		if diff := cmp.Diff(fault{hubapi.CodeBusy, http.StatusConflict, ""}, faultOf(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}

	cancel()
	if err := <-stop; !errors.Is(err, context.Canceled) {
		t.Errorf("watch ended with %v", err)
	}
	if err := b.client.DeleteCluster(t.Context(), c.ID); err != nil {
		t.Errorf("nobody waits for the create any more, so it may be deleted: %v", err)
	}
}

func TestRefresh(t *testing.T) {
	b := newBench(t)
	c := b.ready(spec("prod", b.account("prod").ID))
	b.gateway.set(func() {
		b.gateway.observe = hubapi.ClusterStatus{Machines: []hubapi.Machine{{Name: "prod-cp-0", State: "powered-off"}}}
	})
	got, err := b.client.RefreshCluster(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := hubapi.ClusterStatus{
		Phase: hubapi.PhaseReady, EverReady: true, Claimed: true, Machines: []hubapi.Machine{{Name: "prod-cp-0", State: "powered-off"}},
		Origin: systemID,
	}
	if diff := cmp.Diff(want, got.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, b.get(c.ID)); diff != "" {
		t.Errorf("the record is not what the refresh answered (-answer +record):\n%s", diff)
	}
	b.gateway.set(func() { b.gateway.down = true })
	_, err = b.client.RefreshCluster(t.Context(), c.ID)
	if diff := cmp.Diff(fault{hubapi.CodeUnreachable, http.StatusServiceUnavailable, ""}, faultOf(t, err)); diff != "" {
		t.Errorf("while the gateway is away (-want +got):\n%s", diff)
	}
}

func TestPreviewCluster(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	s := spec("prod", account.ID)
	b.gateway.set(func() { b.gateway.preview = hubapi.Preview{Summary: []string{"clone prod-cp-0"}} })
	previewed := func(id string, s cluster.Spec) (*hubapi.Preview, []gatewayapi.Assignment) {
		t.Helper()
		b.gateway.set(func() { b.gateway.previews = nil })
		p, err := b.client.PreviewCluster(t.Context(), hubapi.ClusterPreview{ID: id, Spec: s})
		if err != nil {
			t.Fatal(err)
		}
		return p, b.gateway.previews
	}

	p, asked := previewed("", s)
	if len(asked) != 1 || len(p.Problems) != 0 || len(p.Summary) != 1 {
		t.Errorf("new cluster: %+v, asked %+v", p, asked)
	}
	bad := s
	bad.CloudAccountID = uuid.NewString()
	p, asked = previewed("", bad)
	if len(asked) != 0 || len(p.Problems) != 1 || p.Problems[0].Field != "/cloud_account_id" {
		t.Errorf("unknown account: %+v, asked %+v", p, asked)
	}
	c := b.create(s)
	if _, asked = previewed("", s); len(asked) != 1 || asked[0].ID != c.ID {
		t.Errorf("a create that will be resumed is previewed as such: %+v", asked)
	}
	b.finish(c, hubapi.ClusterStatus{Phase: hubapi.PhaseReady, Ready: true, Machines: []hubapi.Machine{{Name: "m"}}})
	other := s
	other.ControlPlane.CPU = 8
	if p, asked = previewed("", other); len(asked) != 0 || len(p.Problems) != 1 || p.Problems[0].Field != "/name" {
		t.Errorf("a name that is taken: %+v, asked %+v", p, asked)
	}
	if p, asked = previewed(c.ID, other); len(asked) != 1 || asked[0].ID != c.ID || asked[0].Generation != 2 {
		t.Errorf("an update: %+v, asked %+v", p, asked)
	}
	other.Datacenter = "dc-south"
	if p, asked = previewed(c.ID, other); len(asked) != 0 || len(p.Problems) != 1 || p.Problems[0].Field != "/datacenter" {
		t.Errorf("a change that cannot be: %+v, asked %+v", p, asked)
	}
	if b.get(c.ID).Generation != 1 {
		t.Error("a preview has changed the record")
	}
}
