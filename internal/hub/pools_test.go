package hub_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func (b *bench) lease(poolID string, leases ...hubapi.IPLease) {
	b.t.Helper()
	b.gateway.report(gatewayapi.Report{Pool: &gatewayapi.PoolReport{ID: poolID, Status: hubapi.IPPoolStatus{Leases: leases}}})
	b.gateway.waitAcked(b.t)
}

func TestPoolCounts(t *testing.T) {
	b := newBench(t)
	p := b.pool(poolWrite("nodes", "10.20.0.0/29", "10.20.0.1"))
	counts := func() [3]int {
		t.Helper()
		got, err := b.client.IPPool(t.Context(), p.ID)
		if err != nil {
			t.Fatal(err)
		}
		return [3]int{got.Status.Total, got.Status.Used, got.Status.Free}
	}
	if diff := cmp.Diff([3]int{6, 0, 6}, counts()); diff != "" {
		t.Errorf("new pool (-want +got):\n%s", diff)
	}
	released := b.clock.now()
	b.lease(p.ID,
		hubapi.IPLease{Address: "10.20.0.2", InstanceUUID: "u1", ClusterID: "c", Machine: "m1"},
		hubapi.IPLease{Address: "10.20.0.3", InstanceUUID: "u2", ClusterID: "c", Machine: "m2", ReleasedAt: &released})
	if diff := cmp.Diff([3]int{6, 1, 4}, counts()); diff != "" {
		t.Errorf("one leased, one resting (-want +got):\n%s", diff)
	}
	b.clock.advance(301 * time.Second)
	if diff := cmp.Diff([3]int{6, 1, 5}, counts()); diff != "" {
		t.Errorf("its rest is over (-want +got):\n%s", diff)
	}
}

func TestPoolProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		write func(*hubapi.IPPoolWrite)
		field string
		says  []string
	}{
		"fine":            {write: func(w *hubapi.IPPoolWrite) { w.Name = "third"; w.Spec.Subnet, w.Spec.Gateway = "10.22.0.0/24", "" }},
		"gateway outside": {write: func(w *hubapi.IPPoolWrite) { w.Spec.Gateway = "10.99.0.1" }, field: "/gateway"},
		"overlap": {
			write: func(w *hubapi.IPPoolWrite) { w.Spec.Subnet, w.Spec.Prefix, w.Spec.Gateway = "10.20.0.0/15", 15, "" },
			field: "/subnet", says: []string{`"other"`, "10.21.0.2"},
		},
		"shrinking below a lease": {
			write: func(w *hubapi.IPPoolWrite) { w.Spec.Excluded = []string{"10.20.0.2"} },
			field: "/subnet", says: []string{"m1", "10.20.0.2"},
		},
		"name server that is none": {
			write: func(w *hubapi.IPPoolWrite) { w.Spec.NameServers = []string{"dns.example.com"} },
			field: "/name_servers/0",
		},
		"rest that is negative": {
			write: func(w *hubapi.IPPoolWrite) { w.Spec.CooldownSeconds = -1 },
			field: "/cooldown_seconds",
		},
		"gateway that is not there": {
			write: func(w *hubapi.IPPoolWrite) { w.Spec.GatewayID = uuid.NewString() },
			field: "/gateway_id",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := poolWrite("nodes", "10.20.0.0/24", "10.20.0.1")
			p := b.pool(w)
			b.pool(poolWrite("other", "10.21.0.0/24", "10.21.0.1"))
			b.lease(p.ID, hubapi.IPLease{Address: "10.20.0.2", InstanceUUID: "u1", ClusterID: "c", Machine: "m1"})
			tc.write(&w)
			id, o := p.ID, hubapi.WriteOptions{}
			if tc.field == "" { // a pool of its own
				id, o = uuid.NewString(), hubapi.WriteOptions{Create: true}
			}
			problems, err := b.client.PreviewIPPool(t.Context(), hubapi.IPPoolPreview{ID: id, Write: w})
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.client.PutIPPool(t.Context(), id, w, o)
			if tc.field == "" {
				if len(problems) != 0 || err != nil {
					t.Errorf("preview %v, write %v", problems, err)
				}
				return
			}
			if len(problems) == 0 || problems[0].Field != tc.field || problems[0].Severity != cluster.SeverityError {
				t.Fatalf("preview: %+v, want an error at %s", problems, tc.field)
			}
			want := fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, tc.field}
			if diff := cmp.Diff(want, faultOf(t, err)); diff != "" {
				t.Errorf("write (-want +got):\n%s", diff)
			}
			for _, word := range tc.says {
				if !strings.Contains(problems[0].Message, word) || !strings.Contains(hubapi.AsProblem(err).Detail, word) {
					t.Errorf("%q is not named in %q or %q", word, problems[0].Message, hubapi.AsProblem(err).Detail)
				}
			}
		})
	}
}

func TestPoolCreateAgain(t *testing.T) {
	b := newBench(t)
	w := poolWrite("nodes", "10.20.0.0/24", "10.20.0.1")
	p := b.pool(w)
	again, err := b.client.PutIPPool(t.Context(), uuid.NewString(), w, hubapi.WriteOptions{Create: true})
	if err != nil || again.ID != p.ID {
		t.Errorf("a create whose answer was lost: %+v, %v", again, err)
	}
	if problems, err := b.client.PreviewIPPool(t.Context(), hubapi.IPPoolPreview{Write: w}); err != nil || len(problems) != 0 {
		t.Errorf("its preview: %v, %v", problems, err)
	}
	w.Spec.Subnet, w.Spec.Gateway = "10.23.0.0/24", "10.23.0.1"
	if _, err := b.client.PutIPPool(t.Context(), uuid.NewString(), w, hubapi.WriteOptions{Create: true}); !errors.Is(err, hubapi.ErrAlreadyExists) {
		t.Errorf("another pool of the name: %v", err)
	}
	problems, err := b.client.PreviewIPPool(t.Context(), hubapi.IPPoolPreview{Write: w})
	if err != nil || len(problems) != 1 || problems[0].Field != "/name" {
		t.Errorf("its preview: %v, %v", problems, err)
	}
	w.Name = "renamed"
	renamed, err := b.client.PutIPPool(t.Context(), p.ID, w, hubapi.WriteOptions{IfGeneration: 1})
	if err != nil || renamed.Name != "renamed" || renamed.Generation != 2 {
		t.Errorf("update: %+v, %v", renamed, err)
	}
}

func TestPoolDelete(t *testing.T) {
	b := newBench(t)
	p := b.pool(poolWrite("nodes", "10.20.0.0/24", "10.20.0.1"))
	s := spec("prod", b.account("prod").ID)
	worker := s.WorkerPools["general"]
	worker.Placements = []cluster.Placement{worker.Placements[0]}
	worker.Placements[0].IPPoolID = p.ID
	s.WorkerPools["general"] = worker
	c := b.create(s)
	if given := b.gateway.assignments(); len(given[0].Pools) != 1 || given[0].Pools[0].Status.Free != 253 {
		t.Errorf("pools given to the gateway: %+v", given[0].Pools)
	}
	if err := b.client.DeleteIPPool(t.Context(), p.ID); !errors.Is(err, hubapi.ErrInUse) || !strings.Contains(err.Error(), `"prod"`) {
		t.Errorf("deleting a pool that a cluster names: %v", err)
	}
	lease := hubapi.IPLease{Address: "10.20.0.2", InstanceUUID: "u1", ClusterID: c.ID, Machine: "prod-general-0"}
	b.lease(p.ID, lease)
	if err := b.client.DeleteIPPool(t.Context(), p.ID); !errors.Is(err, hubapi.ErrInUse) || !strings.Contains(err.Error(), "prod-general-0") {
		t.Errorf("deleting a pool with a lease: %v", err)
	}
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{ID: c.ID, Generation: 2, Gone: true}})
	released := b.clock.now()
	lease.ReleasedAt = &released
	b.lease(p.ID, lease)
	if err := b.client.DeleteIPPool(t.Context(), p.ID); err != nil {
		t.Errorf("deleting a pool whose addresses only rest: %v", err)
	}
}

func TestPoolsOfOnePlan(t *testing.T) {
	b := newBench(t)
	preview := hubapi.IPPoolPreview{
		Write:  poolWrite("one", "10.20.0.0/24", "10.20.0.1"),
		Beside: []hubapi.IPPoolWrite{poolWrite("two", "10.20.0.128/25", "10.20.0.129"), poolWrite("three", "10.30.0.0/24", "10.30.0.1")},
	}
	problems, err := b.client.PreviewIPPool(t.Context(), preview)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || problems[0].Field != "/subnet" || !strings.Contains(problems[0].Message, `"two" of the same plan`) {
		t.Errorf("two pools that are both new overlap: %+v", problems)
	}
	if _, err := b.client.IPPoolByName(t.Context(), "two"); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("a preview keeps nothing: %v", err)
	}
}
