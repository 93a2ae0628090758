package vsphere

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

const (
	testGateway = "gw-1"
	testCluster = "c-1"
)

// openKit starts a truthful vCenter and a session with it.
func openKit(t *testing.T, options testkit.Options) (*testkit.VCenter, *Session) {
	t.Helper()
	vc := testkit.Start(t, options)
	return vc, openSession(t, vc)
}

func openSession(t *testing.T, vc *testkit.VCenter) *Session {
	t.Helper()
	return openPaced(t, vc, 20*time.Millisecond)
}

func openPaced(t *testing.T, vc *testkit.VCenter, pace time.Duration) *Session {
	t.Helper()
	s, err := Open(t.Context(), Config{
		Host: vc.Host(), Username: vc.Username(), Password: vc.Password(),
		Trust: Trust{CACertificate: vc.CACertificate()}, Pace: pace, through: throughCalls,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func prodA() cluster.Placement {
	return cluster.Placement{
		ComputeCluster: "prod-a", ResourcePool: "k8s", Datastore: "vmfs-b", Networks: []string{"pg-k8s-120"},
	}
}

// linkedTo is a linked clone on the template's datastore.
func (r CloneRequest) linkedTo(datastore string) CloneRequest {
	r.Linked, r.DiskGiB, r.Owner.Placement.Datastore = true, 0, datastore
	return r
}

// request is the clone of one worker of the test cluster.
func request(ordinal int) CloneRequest {
	id := cluster.Identity{Gateway: testGateway, Cluster: testCluster, Pool: "general", Ordinal: ordinal, Generation: 1}
	return CloneRequest{
		Name: cluster.MachineName("prod", id), Datacenter: "dc-north", Folder: "k8s/prod",
		Owner: cluster.Owner{
			Identity: id, Version: cluster.OwnerVersion, Operation: "op-1", Template: testkit.Template134,
			KubernetesVersion: "v1.34.1", Placement: prodA(), Disks: []int32{diskKey},
		},
		CPU: 4, MemoryMiB: 8192, DiskGiB: 40,
		Node:       cluster.NodeMetadata{Labels: map[string]string{"tier": "web"}},
		Annotation: "made by a test",
	}
}

// diskKey is the key of the first disk of testkit's templates.
const diskKey = 2000

func target() Target {
	return Target{GatewayID: testGateway, ClusterID: testCluster, Datacenter: "dc-north", Folder: "k8s/prod"}
}

func mustFolder(t *testing.T, s *Session) {
	t.Helper()
	if _, err := s.CreateFolder(t.Context(), "dc-north", "k8s/prod"); err != nil {
		t.Fatal(err)
	}
}

func mustClone(t *testing.T, s *Session, r CloneRequest) string {
	t.Helper()
	moid, err := s.Clone(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return moid
}

func TestCloneAndMachines(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	moid := mustClone(t, s, r)
	facts, machines, err := s.Machines(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	empty := cluster.FolderFacts{Exists: true, TakenNames: map[string]string{}, Subfolders: map[string]string{}}
	if diff := cmp.Diff(empty, facts); diff != "" {
		t.Errorf("folder: -want, +got:\n%s", diff)
	}
	if len(machines) != 1 {
		t.Fatalf("got %d machines, want 1", len(machines))
	}
	got := machines[0]
	if got.Host == "" {
		t.Error("no host")
	}
	got.Host, got.Addresses, got.Progress = "", nil, cluster.Progress{}
	want := cluster.Machine{
		Owner: r.Owner, Name: "prod-general-0", Moid: moid, UUID: r.Owner.InstanceUUID(),
		Path: "/dc-north/vm/k8s/prod/prod-general-0", InFolder: true, PowerState: "poweredOn", ConnectionState: "connected",
		CPU: 4, MemoryMiB: 8192, DiskGiB: 40, ComputeCluster: testkit.ClusterProdA, ResourcePool: testkit.PoolK8s,
		Datastore: testkit.DatastoreVMFSB, Node: r.Node,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("machine: -want, +got:\n%s", diff)
	}
}

// TestSubfolders checks that names which folders have taken are known from the read of the machines, with no call more.
func TestSubfolders(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	if _, err := s.CreateFolder(t.Context(), "dc-north", "k8s/prod/prod-general-0/deeper"); err != nil {
		t.Fatal(err)
	}
	counted := countCalls(s)
	facts, _, err := s.Machines(t.Context(), target())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"prod-general-0": "/dc-north/vm/k8s/prod/prod-general-0"}
	if diff := cmp.Diff(want, facts.Subfolders); diff != "" {
		t.Errorf("subfolders: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"RetrievePropertiesEx"}, counted.seen()); diff != "" {
		t.Errorf("calls: -want, +got:\n%s", diff)
	}
	watched, _ := mustWatch(t, s, target()).Machines()
	if diff := cmp.Diff(facts, watched); diff != "" {
		t.Errorf("a watch: -read, +watched:\n%s", diff)
	}
}

func TestLinkedCloneOnVSAN(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0).linkedTo("vsan-prod")
	mustClone(t, s, r)
	m := onlyMachine(t, s)
	if m.DiskGiB != testkit.TemplateDiskGiB || len(m.ForeignDisks) > 0 || m.Datastore != testkit.DatastoreVSAN {
		t.Errorf("a linked clone has %d GiB on %s and foreign disks %v", m.DiskGiB, m.Datastore, m.ForeignDisks)
	}
	if err := s.Destroy(t.Context(), m.Moid, m.Identity); err != nil {
		t.Error(err)
	}
}

func TestMachinesCalls(t *testing.T) {
	vc, maker := openKit(t, testkit.Options{})
	mustFolder(t, maker)
	group := make(chan error, 50)
	limit := make(chan struct{}, 8)
	known := target()
	for i := range cap(group) {
		known.KnownUUIDs = append(known.KnownUUIDs, request(i).Owner.InstanceUUID())
		go func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			_, err := maker.Clone(t.Context(), request(i).linkedTo("vsan-prod"))
			group <- err
		}()
	}
	for range cap(group) {
		if err := <-group; err != nil {
			t.Fatal(err)
		}
	}
	s := openSession(t, vc)
	for _, tc := range []struct {
		reason string
		want   []string
	}{
		{"a new session reads the inventory once", []string{
			"CreateContainerView", "RetrievePropertiesEx", "DestroyView", "RetrievePropertiesEx",
		}},
		{"then one call is enough", []string{"RetrievePropertiesEx"}},
	} {
		counted := countCalls(s)
		_, machines, err := s.Machines(t.Context(), known)
		if err != nil {
			t.Fatal(err)
		}
		if len(machines) != 50 {
			t.Errorf("%s: got %d machines, want 50", tc.reason, len(machines))
		}
		if diff := cmp.Diff(tc.want, counted.seen()); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
		}
	}
}

func TestMachinesElsewhere(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	mustClone(t, s, r)
	uuid := r.Owner.InstanceUUID()
	tests := map[string]struct {
		reason   string
		change   func(*Target)
		exists   bool
		machines []bool // InFolder of each
	}{
		"Known": {
			reason: "a machine outside the folder is found by its UUID",
			change: func(t *Target) { t.Folder, t.KnownUUIDs = "k8s", []string{uuid} }, exists: true, machines: []bool{false},
		},
		"Many": {
			reason: "many UUIDs are found by one read",
			change: func(t *Target) {
				t.Folder, t.KnownUUIDs = "k8s", []string{uuid}
				for i := range manyUnknown {
					t.KnownUUIDs = append(t.KnownUUIDs, request(10+i).Owner.InstanceUUID())
				}
			}, exists: true, machines: []bool{false},
		},
		"NoFolder": {
			reason: "the folder may be gone",
			change: func(t *Target) { t.Folder, t.KnownUUIDs = "gone", []string{uuid} }, machines: []bool{false},
		},
		"NoDatacenter": {
			reason: "the datacenter may be gone",
			change: func(t *Target) { t.Datacenter, t.KnownUUIDs = "gone", []string{uuid} }, machines: []bool{false},
		},
		"OtherCluster": {
			reason: "another cluster's machine is none of ours", change: func(t *Target) { t.ClusterID = "c-2" }, exists: true,
		},
		"OtherGateway": {
			reason: "another gateway's machine is none of ours", change: func(t *Target) { t.GatewayID = "gw-2" }, exists: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at := target()
			tc.change(&at)
			facts, machines, err := s.Machines(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			if facts.Exists != tc.exists {
				t.Errorf("%s: exists = %v, want %v", tc.reason, facts.Exists, tc.exists)
			}
			var in []bool
			for _, m := range machines {
				in = append(in, m.InFolder)
			}
			if diff := cmp.Diff(tc.machines, in); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			if len(tc.machines) == 0 && facts.TakenNames["prod-general-0"] == "" {
				t.Errorf("%s: the name is not reported as taken: %v", tc.reason, facts.TakenNames)
			}
		})
	}
	owned, err := s.Owned(t.Context(), func(o cluster.Owner) bool { return o.Gateway == testGateway })
	if err != nil || len(owned) != 1 || owned[0].UUID != uuid {
		t.Errorf("Owned = %v, %v, want the one machine", owned, err)
	}
	if others, err := s.Owned(t.Context(), func(o cluster.Owner) bool { return o.Gateway == "gw-2" }); err != nil || len(others) != 0 {
		t.Errorf("Owned by another gateway = %v, %v, want none", others, err)
	}
	_ = vc
}

func TestCloneIsRepeatable(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	first := mustClone(t, s, request(0))
	again := mustClone(t, openSession(t, vc), request(0))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same clone twice: -first, +second:\n%s", diff)
	}
	foreign := request(1)
	foreign.Name = "prod-general-0"
	_, err := s.Clone(t.Context(), foreign)
	var left *ForeignVMError
	if !errors.As(err, &left) || left.Path != "/dc-north/vm/k8s/prod/prod-general-0" {
		t.Errorf("clone under another machine's name: %v, want a ForeignVMError with the path", err)
	}
}

func TestCloneLostAnswer(t *testing.T) {
	vc, s := openKit(t, testkit.Options{CloneDelay: 50 * time.Millisecond})
	mustFolder(t, s)
	counted := countCalls(s)
	lost := false
	counted.loseBy(func(name string) error {
		if name != "CloneVM_Task" || lost {
			return nil
		}
		lost = true
		return fmt.Errorf("swallowed: %w", context.DeadlineExceeded)
	})
	moid := mustClone(t, s, request(0))
	if !lost {
		t.Fatal("no answer was lost")
	}
	names := slices.DeleteFunc(vc.VMs(), func(path string) bool { return lastElement(path) != "prod-general-0" })
	if len(names) != 1 || moid == "" {
		t.Errorf("machines after a lost answer: %v, moid %q, want exactly one", names, moid)
	}
}

func TestDestroy(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	r := request(0)
	moid := mustClone(t, s, r)
	var foreign *ForeignVMError
	other := r.Owner.Identity
	other.Generation = 2
	if err := s.Destroy(t.Context(), moid, other); !errors.As(err, &foreign) {
		t.Errorf("destroying under another identity: %v, want a ForeignVMError", err)
	}
	var notEmpty *NotEmptyError
	if err := s.DeleteFolder(t.Context(), "/dc-north/vm/k8s/prod"); !errors.As(err, &notEmpty) {
		t.Errorf("deleting a folder with a machine in it: %v, want a NotEmptyError", err)
	}
	for _, reason := range []string{"a machine that runs", "a machine that is gone"} {
		if err := s.Destroy(t.Context(), moid, r.Owner.Identity); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
	if slices.ContainsFunc(vc.VMs(), func(path string) bool { return lastElement(path) == r.Name }) {
		t.Error("the machine still exists")
	}
	for _, reason := range []string{"an empty folder", "a folder that is gone"} {
		if err := s.DeleteFolder(t.Context(), "/dc-north/vm/k8s/prod"); err != nil {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

func TestFacts(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	vsan := prodA()
	vsan.Datastore = "vsan-prod"
	pool := cluster.Pool{Count: 1, Placements: []cluster.Placement{vsan}}
	bad := prodA()
	bad.Datastore, bad.Networks, bad.ResourcePool, bad.ComputeCluster = "vsan-prd", []string{"pg-k8s-12"}, "nope", "prod-a"
	edge := cluster.Placement{ComputeCluster: "edge", Datastore: "vmfs-a", Networks: []string{"VM Network"}}
	spec := cluster.Spec{
		Datacenter: "dc-north", Folder: "k8s/prod", Template: "ubuntu-2404-kube-v1.34.1", ControlPlane: pool,
		WorkerPools: map[string]cluster.Pool{"bad": {Placements: []cluster.Placement{bad, edge}}},
	}
	facts, err := s.Facts(t.Context(), spec, []string{"10.99.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	wantTemplate := &cluster.TemplateFacts{
		Path: testkit.Template134, KubernetesVersion: "v1.34.1", DiskGiB: testkit.TemplateDiskGiB, DiskKeys: []int32{diskKey},
		Snapshot: testkit.TemplateSnapshot, Datastores: []string{"vsan-prod"},
	}
	if diff := cmp.Diff(wantTemplate, facts.Template); diff != "" {
		t.Errorf("template: -want, +got:\n%s", diff)
	}
	good := facts.Placements[cluster.ControlPlanePool][0]
	if good.FreeGiB <= 0 {
		t.Errorf("free space is %d GiB", good.FreeGiB)
	}
	good.FreeGiB = 0
	if diff := cmp.Diff(cluster.PlacementFacts{
		ComputeCluster: cluster.Lookup{Path: testkit.ClusterProdA}, ResourcePool: cluster.Lookup{Path: testkit.PoolK8s},
		Datastore: cluster.Lookup{Path: testkit.DatastoreVSAN}, Networks: []cluster.Lookup{{Path: testkit.NetworkK8s120}},
		DatastoreName: "vsan-prod", DatastoreReachable: true, HostsUsable: 3,
	}, good); diff != "" {
		t.Errorf("placement: -want, +got:\n%s", diff)
	}
	missing := facts.Placements["bad"][0]
	if missing.Datastore.Found() || missing.Datastore.Near[0] != "vsan-prod" {
		t.Errorf("a missing datastore: %+v, want vsan-prod near", missing.Datastore)
	}
	if missing.Networks[0].Found() || missing.Networks[0].Near[0] != "pg-k8s-120" {
		t.Errorf("a missing network: %+v, want pg-k8s-120 near", missing.Networks[0])
	}
	if missing.ResourcePool.Found() {
		t.Errorf("a missing resource pool was found: %+v", missing.ResourcePool)
	}
	unreachable := facts.Placements["bad"][1]
	if unreachable.DatastoreReachable || unreachable.DatastoreState == "" {
		t.Errorf("a datastore the cluster's host does not mount: %+v", unreachable)
	}
}
