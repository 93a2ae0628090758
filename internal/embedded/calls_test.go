package embedded_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// engine is an embedded hub in the test's own process, with an account and an address pool.
type engine struct {
	t       *testing.T
	vcenter *testkit.VCenter
	client  *hubapi.Client
	account string
	pool    string
}

func newEngine(t *testing.T, options testkit.Options) *engine {
	t.Helper()
	vcenter := testkit.Start(t, options)
	hub := embedded.New("test", slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := hub.Close(ctx); err != nil {
			t.Errorf("closing the embedded hub: %v", err)
		}
	})
	client, err := clientOf(hub, filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, vcenter: vcenter, client: client}
	e.account, e.pool = setUp(t, client, vcenter)
	return e
}

// apply writes the cluster and waits until it is done. It returns the number of SOAP calls that took. The views of a watch
// are destroyed some time after the apply that made them, as many for every apply: they are left out, so that those of
// one apply do not count for the next.
func (e *engine) apply(id string, spec hubapi.ClusterSpec, create bool) int {
	e.t.Helper()
	e.vcenter.ResetCalls()
	written, err := e.client.PutCluster(e.t.Context(), id, hubapi.ClusterWrite{Spec: spec}, hubapi.WriteOptions{Create: create})
	if err != nil {
		e.t.Fatal(err)
	}
	if err := await(e.t.Context(), e.client, written.ID, written.Generation); err != nil {
		e.t.Fatal(err)
	}
	calls := e.vcenter.SOAPCalls() - e.vcenter.Calls()["DestroyView"]
	e.t.Logf("%d calls: %v", calls, e.vcenter.Calls())
	return calls
}

func TestRoundTripsOfMachines(t *testing.T) {
	e := newEngine(t, testkit.Options{})
	w := &crashWorld{account: e.account, pool: e.pool}
	id := uuid.NewString()
	e.apply(id, w.spec(1), true)
	// An apply that changes nothing costs what every apply costs: the spec's names resolved, the machines read.
	setUp := e.apply(id, w.spec(1), false)
	if calls := e.apply(id, w.spec(2), false) - setUp; calls > 6 {
		t.Errorf("one machine took %d calls, want at most 6", calls)
	}
	const machines = 50
	if calls := e.apply(id, w.spec(2+machines), false) - setUp; calls > 4*machines {
		t.Errorf("%d machines took %.1f calls each, want at most 4", machines, float64(calls)/machines)
	}
	e.vcenter.ResetCalls()
	if _, err := e.client.RefreshCluster(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if calls := e.vcenter.SOAPCalls(); calls > 5 {
		t.Errorf("a refresh of %d machines took %d calls, want at most 5: %v", machines+3, calls, e.vcenter.Calls())
	}
}

func TestRoundTripsOfInventory(t *testing.T) {
	for name, vms := range map[string]int{"Small": 0, "Large": 1_500} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, testkit.Options{VMs: vms})
			for _, kind := range []hubapi.InventoryKind{
				hubapi.KindDatacenters, hubapi.KindComputeClusters, hubapi.KindDatastores, hubapi.KindNetworks,
				hubapi.KindResourcePools, hubapi.KindFolders, hubapi.KindTemplates,
			} {
				e.vcenter.ResetCalls()
				_, err := e.client.Inventory(t.Context(), e.account, hubapi.InventoryQuery{
					Kind: kind, Datacenter: "dc-north", AccessibleFrom: "prod-a",
				})
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				if calls := e.vcenter.SOAPCalls(); calls > 3 {
					t.Errorf("%s took %d calls, want at most 3: %v", kind, calls, e.vcenter.Calls())
				}
			}
		})
	}
}
