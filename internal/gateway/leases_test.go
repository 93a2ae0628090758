package gateway_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// hourPool is a pool of a whole subnet whose addresses rest for an hour.
func hourPool(subnet string) hubapi.IPPool {
	return hubapi.IPPool{
		Meta: hubapi.Meta{ID: uuid.NewString(), Name: "nodes", Generation: 1},
		Spec: hubapi.IPPoolSpec{Subnet: subnet, Gateway: "10.120.0.1", Prefix: 16, CooldownSeconds: 3600},
	}
}

// smallPool is a pool of a few addresses that rest for some seconds.
func smallPool(size, cooldown int) hubapi.IPPool {
	pool := hourPool("")
	pool.Spec.Ranges = []hubapi.IPRange{{Start: "10.120.0.10", End: fmt.Sprintf("10.120.0.%d", 9+size)}}
	pool.Spec.CooldownSeconds = cooldown
	return pool
}

// withPool has all machines take their address from a pool.
func (w *world) withPool(pool hubapi.IPPool) {
	pool.Spec.GatewayID = w.identity.ID
	w.a.Pools = []hubapi.IPPool{pool}
	placement := w.a.Spec.ControlPlane.Placements[0]
	placement.IPPoolID = pool.ID
	w.a.Spec.ControlPlane.Placements = []hubapi.Placement{placement}
	general := w.a.Spec.WorkerPools["general"]
	general.Placements = []hubapi.Placement{placement}
	w.a.Spec.WorkerPools = map[string]hubapi.Pool{"general": general}
}

// leases wants the machines to hold addresses of these last numbers, each another, at the hub and in their guests.
func (w *world) leases(reason string, numbers []int, suffixes ...string) {
	w.t.Helper()
	held := w.leased()
	want, got := []string{}, slices.Sorted(maps.Keys(held))
	for _, number := range numbers {
		want = append(want, fmt.Sprintf("10.120.0.%d", number))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s: addresses leased (-want +got): %s", reason, diff)
	}
	if diff := cmp.Diff(w.names(suffixes...), slices.Sorted(maps.Values(held))); diff != "" {
		w.t.Errorf("%s: machines with a lease (-want +got): %s", reason, diff)
	}
	for address, machine := range held {
		if diff := cmp.Diff([]string{address}, w.vc.VM(machine).Addresses); diff != "" {
			w.t.Errorf("%s: addresses of %s (-leased +has): %s", reason, machine, diff)
		}
	}
}

// TestLeases follows the addresses of two clusters on one pool through scaling, replacing and deleting.
func TestLeases(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "first", "")
	w.withPool(smallPool(20, 3600))
	w.ready("create", all...)
	w.leases("create", []int{10, 11, 12}, all...)
	before := w.leased()
	w.workers(1)
	w.ready("scale in", "cp-0", "general-0")
	left := maps.Clone(before)
	maps.DeleteFunc(left, func(_, machine string) bool { return machine == "first-general-1" })
	if diff := cmp.Diff(left, w.leased()); diff != "" {
		t.Errorf("scale in: leases (-want +got): %s", diff)
	}

	second := *w
	second.others = vc.VMs()
	second.a.ID, second.a.Generation = uuid.NewString(), 0
	second.a.Status, second.a.SealedSecrets = hubapi.ClusterStatus{}, nil
	second.a.Spec.Name, second.a.Spec.Folder = "second", "k8s/second"
	second.a.Spec.Endpoint.Host = "10.120.9.9"
	second.ready("another cluster on the pool", "cp-0", "general-0")
	second.leases("a resting address is not given to another cluster", []int{13, 14}, "cp-0", "general-0")
	second.destroyed("another cluster on the pool")
	if diff := cmp.Diff(left, w.leased()); diff != "" {
		t.Errorf("another cluster's delete: leases (-want +got): %s", diff)
	}
	w.workers(2)
	w.ready("scale out again", all...)
	if diff := cmp.Diff(before, w.leased()); diff != "" {
		t.Errorf("a machine made again has another address (-before +after): %s", diff)
	}
	w.destroyed("delete")
}

// TestLeasesAfterRestart has a gateway begin anew, and the hub's copy of the leases lost: the owner records in vCenter
// say who has which address, of other clusters too.
func TestLeasesAfterRestart(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "before", "")
	w.withPool(smallPool(20, 0))
	w.ready("create", all...)

	w.hub.stop()
	kept := w.hub.secrets[w.a.ID]
	w.hub = startGateway(t, w.identity)
	after := *w
	after.others = vc.VMs()
	after.a.ID, after.a.Generation = uuid.NewString(), 0
	after.a.Status, after.a.SealedSecrets = hubapi.ClusterStatus{}, nil
	after.a.Spec.Name, after.a.Spec.Folder = "after", "k8s/after"
	after.a.Spec.Endpoint.Host = "10.120.9.10"
	after.a.Pools = []hubapi.IPPool{w.a.Pools[0]}
	after.a.Pools[0].Status = hubapi.IPPoolStatus{}
	after.ready("a cluster made after the restart", all...)
	after.leases("after the restart", []int{13, 14, 15}, all...)
	w.leases("the addresses from before the restart", []int{10, 11, 12}, all...)
	after.destroyed("a cluster made after the restart")

	w.a.Pools[0].Status = hubapi.IPPoolStatus{}
	w.a.SealedSecrets = kept
	w.workers(3)
	w.ready("scale out after the restart", "cp-0", "general-0", "general-1", "general-2")
	w.destroyed("delete after the restart")
}

// TestExhaustedPool replaces all machines of a pool that has one address more than the cluster: each replacement waits
// until an address has rested.
func TestExhaustedPool(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "tight", "")
	w.withPool(smallPool(5, 1))
	w.ready("create", all...)
	w.a.Spec.NTPServers = []string{"10.0.0.5"}
	w.ready("replace", "cp-0-r2", "general-0-r2", "general-1-r2")
	if held := w.leased(); len(held) != 3 {
		t.Errorf("three machines hold %v", held)
	}
	w.destroyed("delete")
}

// TestPoolTooSmall wants more machines than there are addresses: the preview says so, and an apply makes nothing.
func TestPoolTooSmall(t *testing.T) {
	const says = "address pool nodes has 2 free addresses, 3 are needed"
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "crowd", "")
	w.withPool(smallPool(2, 0))
	preview := w.preview()
	if len(preview.Problems) != 1 || preview.Problems[0].Field != "/control_plane/placements/0/ip_pool_id" {
		t.Errorf("problems %+v, want one on the pool", preview.Problems)
	}
	w.failed("too few addresses", says)
	w.has("too few addresses")
	if held := w.leased(); len(held) > 0 {
		t.Errorf("nothing was made, and addresses are held: %v", held)
	}
}
