package gateway_test

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// world is one cluster in a vCenter that it may share with others, with a gateway and a hub of its own.
type world struct {
	t        *testing.T
	vc       *testkit.VCenter
	hub      *fakeHub
	identity gateway.Identity
	a        gatewayapi.Assignment
	// others are the VMs that were there before.
	others []string
}

// endpoints counts the clusters of this process, so that no two have one endpoint.
var endpoints atomic.Int32

// newWorld prepares a cluster of one control plane machine and two workers that nothing is known of yet. The gateway
// reaches the vCenter at host, "" being its own address.
func newWorld(t *testing.T, vc *testkit.VCenter, name, host string) *world {
	t.Helper()
	w := &world{t: t, vc: vc, others: vc.VMs()}
	w.hub, w.identity = newFakeHub(t)
	if host == "" {
		host = vc.Host()
	}
	account := accountAt(t, w.identity, vc, host, vc.Password())
	w.a = gatewayapi.Assignment{ID: uuid.NewString(), Project: "default", Account: account, Spec: specOf(account, 2)}
	w.a.Spec.Name, w.a.Spec.Folder = name, "k8s/"+name
	w.a.Spec.Endpoint.Host = fmt.Sprintf("10.20.2.%d", endpoints.Add(1))
	return w
}

// workers sets the number of workers.
func (w *world) workers(count int) {
	pool := w.a.Spec.WorkerPools["general"]
	pool.Count = count
	w.a.Spec.WorkerPools = map[string]hubapi.Pool{"general": pool}
}

// assign gives the gateway the cluster as it is wanted now, as a new generation.
func (w *world) assign() {
	w.t.Helper()
	w.a.Generation++
	if err := w.hub.client.Assign(w.t.Context(), w.a); err != nil {
		w.t.Fatalf("assigning generation %d: %v", w.a.Generation, err)
	}
}

// await waits until the gateway is through, and keeps what it reports as a hub does.
func (w *world) await() gatewayapi.ClusterReport {
	w.t.Helper()
	report := w.hub.await(w.t, w.a.ID, w.a.Generation)
	w.keep(report.Status)
	return report
}

func (w *world) keep(status hubapi.ClusterStatus) {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	w.a.Status = status
	if sealed, ok := w.hub.secrets[w.a.ID]; ok {
		w.a.SealedSecrets = sealed
	}
	for i, pool := range w.a.Pools {
		if kept, ok := w.hub.pools[pool.ID]; ok {
			w.a.Pools[i].Status = kept
		}
	}
}

// said is what the gateway has told people.
func (w *world) said() string {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	return strings.Join(w.hub.messages, "\n")
}

func (w *world) preview() hubapi.Preview {
	w.t.Helper()
	preview, err := w.hub.client.Preview(w.t.Context(), w.a)
	if err != nil {
		w.t.Fatalf("preview: %v", err)
	}
	return preview
}

// machines are the names of all VMs that were not there before.
func (w *world) machines() []string {
	names := []string{}
	for _, vm := range w.vc.VMs() {
		if !slices.Contains(w.others, vm) {
			names = append(names, path.Base(vm))
		}
	}
	slices.Sort(names)
	return names
}

// names completes the suffixes of machines to their names.
func (w *world) names(suffixes ...string) []string {
	names := make([]string, len(suffixes))
	for i, suffix := range suffixes {
		names[i] = w.a.Spec.Name + "-" + suffix
	}
	return names
}

// ready applies and wants the cluster to be exactly these machines, and nothing left to do.
func (w *world) ready(reason string, suffixes ...string) {
	w.t.Helper()
	w.assign()
	w.awaitReady(reason, suffixes...)
}

func (w *world) awaitReady(reason string, suffixes ...string) {
	w.t.Helper()
	report := w.await()
	if report.Status.Phase != hubapi.PhaseReady || !report.Status.Ready {
		w.t.Fatalf("%s: phase %s: %s\n%s", reason, report.Status.Phase, report.Status.Message, w.said())
	}
	w.has(reason, suffixes...)
	if preview := w.preview(); len(preview.Operations) > 0 {
		w.t.Errorf("%s: once done, a preview still shows %q", reason, preview.Summary)
	}
}

// failed applies and wants it to fail with a message that says all of these.
func (w *world) failed(reason string, says ...string) hubapi.ClusterStatus {
	w.t.Helper()
	w.assign()
	report := w.await()
	if report.Status.Phase != hubapi.PhaseFailed {
		w.t.Fatalf("%s: phase %s, want it to fail\n%s", reason, report.Status.Phase, w.said())
	}
	for _, want := range says {
		if !strings.Contains(report.Status.Message, want) {
			w.t.Errorf("%s: the message does not say %q:\n%s", reason, want, report.Status.Message)
		}
	}
	return report.Status
}

// has wants these machines, the others untouched, and no guest to have done what it must not.
func (w *world) has(reason string, suffixes ...string) {
	w.t.Helper()
	if diff := cmp.Diff(w.names(suffixes...), w.machines()); diff != "" {
		w.t.Errorf("%s: machines (-want +got): %s\n%s", reason, diff, w.said())
	}
	for _, other := range w.others {
		if !w.vc.VM(other).Exists {
			w.t.Errorf("%s: %s, which is somebody else's, is gone", reason, other)
		}
	}
	if violations := w.vc.Violations(); len(violations) > 0 {
		w.t.Errorf("%s: guests did what they must not: %q", reason, violations)
	}
}

// destroyed deletes the cluster and wants nothing of it to be left.
func (w *world) destroyed(reason string) {
	w.t.Helper()
	w.a.Deleting = true
	w.assign()
	w.awaitGone(reason)
}

func (w *world) awaitGone(reason string) {
	w.t.Helper()
	report := w.await()
	if !report.Gone {
		w.t.Fatalf("%s: phase %s: %s\n%s", reason, report.Status.Phase, report.Status.Message, w.said())
	}
	w.has(reason)
	for _, holder := range w.leased() {
		w.t.Errorf("%s: an address is still leased to %s", reason, holder)
	}
}

// leased maps addresses to the names of the machines of the cluster that hold them, as the hub knows.
func (w *world) leased() map[string]string {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	held := map[string]string{}
	for _, pool := range w.hub.pools {
		for _, lease := range pool.Leases {
			if lease.ClusterID == w.a.ID && lease.ReleasedAt == nil {
				held[lease.Address] = lease.Machine
			}
		}
	}
	return held
}

// kinds are the kinds and machines of a preview's operations.
func kinds(preview hubapi.Preview) []string {
	lines := []string{}
	for _, op := range preview.Operations {
		lines = append(lines, fmt.Sprintf("%s %s", op.Kind, path.Base(op.Machine)))
	}
	return lines
}

// mutating returns those of the counted calls that change something for others than the session.
func mutating(calls map[string]int) []string {
	reads := []string{
		"Retrieve", "ContinueRetrieve", "Find", "Fetch", "Has", "Query", "CurrentTime", "WaitForUpdates",
		"Login", "Logout", "CreateContainerView", "CreateListView", "ModifyListView", "DestroyView", "CreateFilter",
		"DestroyPropertyFilter", "CreatePropertyCollector", "DestroyPropertyCollector", "CancelWaitForUpdates",
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(calls)), func(method string) bool {
		return slices.ContainsFunc(reads, func(read string) bool { return strings.HasPrefix(method, read) })
	})
}
