package vsphere

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func TestMissingPrivilegesOfVCenter(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	objects := VerifyObjects{
		Datacenter: "dc-north", ComputeCluster: "prod-a", Folder: "k8s", Datastore: "vsan-prod", Network: "pg-k8s-120",
		ResourcePool: "k8s", TemplatesFolder: "templates",
	}
	missing, err := s.MissingPrivileges(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]MissingPrivilege{}, missing); diff != "" {
		t.Errorf("nothing was revoked: -want, +got:\n%s", diff)
	}
	vc.RevokePrivilege(testkit.DatastoreVSAN, "Datastore.AllocateSpace")
	vc.RevokePrivilege(testkit.FolderTemplates, "VirtualMachine.Provisioning.DeployTemplate")
	counted := countCalls(s)
	missing, err = s.MissingPrivileges(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	want := []MissingPrivilege{
		{Privilege: "Datastore.AllocateSpace", Object: testkit.DatastoreVSAN, Role: "spectro_role", Propagate: true},
		{
			Privilege: "VirtualMachine.Provisioning.DeployTemplate", Object: testkit.FolderTemplates, Role: "spectro_role",
			Propagate: true,
		},
	}
	if diff := cmp.Diff(want, missing); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
	calls := []string{"CreateContainerView", "RetrievePropertiesEx", "DestroyView", "FetchUserPrivilegeOnEntities"}
	if diff := cmp.Diff(calls, counted.seen()); diff != "" {
		t.Errorf("calls: -want, +got:\n%s", diff)
	}
}

func TestDeniedCloneNamesPrivilege(t *testing.T) {
	for _, asTask := range []bool{false, true} {
		vc, s := openKit(t, testkit.Options{})
		mustFolder(t, s)
		mustWatch(t, s, target())
		known, err := s.inventoryTree(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		datastore, err := pick("datastore", "vmfs-b", known.of(typeDatastore))
		if err != nil {
			t.Fatal(err)
		}
		vc.Fail(testkit.FaultRule{Method: "CloneVM_Task", AsTask: asTask, Fault: &types.NoPermission{
			Object: &datastore.ref, PrivilegeId: "Datastore.AllocateSpace",
		}})
		_, err = s.Clone(t.Context(), request(0))
		var fault *FaultError
		if !errors.As(err, &fault) || Classify(err) != ClassPermission {
			t.Fatalf("as task %v: got %v, want a FaultError of class permission", asTask, err)
		}
		want := []string{"Datastore.AllocateSpace", testkit.DatastoreVMFSB, "clone prod-general-0"}
		if diff := cmp.Diff(want, []string{fault.Privilege, fault.Object, fault.Op}); diff != "" {
			t.Errorf("as task %v: privilege, object and operation: -want, +got:\n%s", asTask, diff)
		}
	}
}

func TestOneLoginAttempt(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	_, err := Open(t.Context(), Config{
		Host: vc.Host(), Username: vc.Username(), Password: "wrong", Trust: Trust{Thumbprints: []string{vc.Thumbprint()}},
	})
	if !errors.Is(err, ErrCredentials) {
		t.Errorf("got %v, want ErrCredentials", err)
	}
	if got := vc.LoginAttempts(); got != 1 {
		t.Errorf("%d login attempts, want 1", got)
	}
}

func TestKilledSessions(t *testing.T) {
	vc, s := openKit(t, testkit.Options{})
	mustFolder(t, s)
	w := mustWatch(t, s, target())
	for i := range 3 {
		vc.KillSessions()
		mustClone(t, s, request(i))
		if _, err := s.Inventory(t.Context(), inventory.Query{Kind: inventory.KindComputeClusters}); err != nil {
			t.Errorf("reading tags after both sessions were killed: %v", err)
		}
	}
	eventually(t, w, "the mirror outlives its session", count(3))
}
