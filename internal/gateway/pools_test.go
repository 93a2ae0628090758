package gateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const testPool = "pool-1"

func testPools(
	t *testing.T, clock *time.Time, leases ...hubapi.IPLease,
) (*addressPools, *[]gatewayapi.PoolReport) {
	t.Helper()
	reports := &[]gatewayapi.PoolReport{}
	pools := newAddressPools(func() time.Time { return *clock }, func(r gatewayapi.PoolReport) int64 {
		*reports = append(*reports, r)
		return int64(len(*reports))
	})
	err := pools.learn([]hubapi.IPPool{{
		Meta: hubapi.Meta{ID: testPool, Name: "nodes", Generation: 1},
		Spec: hubapi.IPPoolSpec{
			Ranges: []hubapi.IPRange{{Start: "10.0.0.10", End: "10.0.0.12"}},
			Prefix: 24, Gateway: "10.0.0.1", CooldownSeconds: 300,
		},
		Status: hubapi.IPPoolStatus{Leases: leases},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return pools, reports
}

func mustLease(t *testing.T, p *addressPools, cluster, uuid string) string {
	t.Helper()
	addr, _, err := p.lease(testPool, cluster, uuid, uuid)
	if err != nil {
		t.Fatal(err)
	}
	return addr.String()
}

func TestLeaseIsStableAndCoolsDown(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pools, reports := testPools(t, &clock)
	if got := mustLease(t, pools, "c", "m1"); got != "10.0.0.10" {
		t.Errorf("the lowest free address comes first: got %s", got)
	}
	if got := mustLease(t, pools, "c", "m1"); got != "10.0.0.10" {
		t.Errorf("a machine keeps its address: got %s", got)
	}
	mustLease(t, pools, "c", "m2")
	*reports = nil
	pools.release("c", func(uuid string) bool { return uuid != "m1" })
	want := []hubapi.IPPoolStatus{{Total: 3, Used: 1, Free: 1}}
	if diff := cmp.Diff(want, counts(*reports)); diff != "" {
		t.Errorf("a released address is neither used nor free: %s", diff)
	}
	if got := mustLease(t, pools, "d", "m3"); got != "10.0.0.12" {
		t.Errorf("a resting address is not given to another machine: got %s", got)
	}
	if _, _, err := pools.lease(testPool, "d", "m4", "m4"); err == nil {
		t.Error("an empty pool gives no address")
	}
	clock = clock.Add(5 * time.Minute)
	if got := mustLease(t, pools, "d", "m4"); got != "10.0.0.10" {
		t.Errorf("after its rest the address is free again: got %s", got)
	}
}

func TestLeaseComesBackToItsOwnMachine(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pools, _ := testPools(t, &clock)
	mustLease(t, pools, "c", "m1")
	pools.release("c", func(string) bool { return false })
	if got := mustLease(t, pools, "c", "m1"); got != "10.0.0.10" {
		t.Errorf("a machine made again need not wait for its own address: got %s", got)
	}
}

func TestLeasesAreRestored(t *testing.T) {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pools, reports := testPools(t, &clock, hubapi.IPLease{Address: "10.0.0.10", InstanceUUID: "m1", ClusterID: "c"})
	id := cluster.Identity{Gateway: "g", Cluster: "c", Pool: "p", Ordinal: 1, Generation: 1}
	found := cluster.Machine{
		UUID: id.InstanceUUID(), Name: "c-p-1",
		Owner: cluster.Owner{Identity: id, Placement: cluster.Placement{IPPoolID: testPool}, Addresses: []string{"10.0.0.11"}},
	}
	foreign := found
	foreign.UUID = "copied" // a copy carries the record, not the address
	foreign.Owner.Addresses = []string{"10.0.0.12"}
	pools.adopt([]cluster.Machine{found, foreign})
	*reports = nil
	pools.adopt([]cluster.Machine{found})
	if len(*reports) > 0 {
		t.Errorf("what is known already changes nothing: %v", *reports)
	}
	if got := mustLease(t, pools, "c", "m9"); got != "10.0.0.12" {
		t.Errorf("leases of the hub's copy and of owner records are taken: got %s", got)
	}
}

func counts(reports []gatewayapi.PoolReport) []hubapi.IPPoolStatus {
	var statuses []hubapi.IPPoolStatus
	for _, r := range reports {
		r.Status.Leases = nil
		statuses = append(statuses, r.Status)
	}
	return statuses
}
