package testkit

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func TestFaultRules(t *testing.T) {
	for _, test := range []struct {
		reason string
		rule   FaultRule
		// want tells which of the clones a, b and c fail.
		want map[string]bool
	}{
		{"the first call, at once", FaultRule{Method: "CloneVM_Task", Fault: &types.NoDiskSpace{}}, map[string]bool{"a": true}},
		{"the first call, by its task", FaultRule{Method: "CloneVM_Task", Fault: &types.NoDiskSpace{}, AsTask: true}, map[string]bool{"a": true}},
		{"the second call", FaultRule{Method: "CloneVM_Task", Skip: 1, Fault: &types.InsufficientResourcesFault{}}, map[string]bool{"b": true}},
		{"two calls", FaultRule{Method: "CloneVM_Task", Count: 2, Fault: &types.NoDiskSpace{}}, map[string]bool{"a": true, "b": true}},
		{"all calls", FaultRule{Method: "CloneVM_Task", Count: -1, Fault: &types.NoDiskSpace{}}, map[string]bool{"a": true, "b": true, "c": true}},
		{"one name", FaultRule{Method: "CloneVM_Task", Object: "c*", Fault: &types.NoDiskSpace{}}, map[string]bool{"c": true}},
		{"another method", FaultRule{Method: "Destroy_Task", Fault: &types.NoDiskSpace{}}, map[string]bool{}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := newBench(t, Options{})
			b.vc.Fail(test.rule)
			got := map[string]bool{}
			for _, name := range []string{"a", "b", "c"} {
				spec := b.spec()
				spec.Config = nil
				err := b.clone(Template134, name, spec)
				if err == nil != b.vc.VM(name).Exists {
					t.Errorf("%s: %v, but exists is %t", name, err, b.vc.VM(name).Exists)
				}
				if err != nil {
					got[name] = isFault(err, test.rule.Fault)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("failed clones (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrivilegesAreAnsweredTruthfully(t *testing.T) {
	b := newBench(t, Options{})
	b.vc.RevokePrivilege(DatastoreVSAN, "Datastore.AllocateSpace", "Datastore.Browse")
	b.vc.RevokePrivilege("/", "Sessions.ValidateSession")
	ask := func(user string, entities ...types.ManagedObjectReference) map[string][]string {
		t.Helper()
		res, err := methods.FetchUserPrivilegeOnEntities(t.Context(), b.client, &types.FetchUserPrivilegeOnEntities{
			This: *b.client.ServiceContent.AuthorizationManager, Entities: entities, UserName: user,
		})
		if err != nil {
			t.Fatal(err)
		}
		granted := map[string][]string{}
		for _, result := range res.Returnval {
			granted[result.Entity.Value] = result.Privileges
		}
		return granted
	}
	root, vsan, nfs := b.client.ServiceContent.RootFolder, *b.ref(DatastoreVSAN), *b.ref(DatastoreNFS)
	granted := ask(Username, root, vsan, nfs)
	all := len(granted[nfs.Value])
	if got := []int{all - len(granted[root.Value]), all - len(granted[vsan.Value])}; !cmp.Equal(got, []int{1, 2}) {
		t.Errorf("missing on / and vsan-prod: %v", got)
	}
	if got := ask("nobody@vsphere.local", nfs)[nfs.Value]; len(got) != 0 {
		t.Errorf("nobody has %d privileges", len(got))
	}
	_, err := methods.FetchUserPrivilegeOnEntities(t.Context(), b.client, &types.FetchUserPrivilegeOnEntities{
		This: *b.client.ServiceContent.AuthorizationManager, UserName: Username,
		Entities: []types.ManagedObjectReference{{Type: "Datastore", Value: "gone-1"}},
	})
	if !fault.Is(err, &types.ManagedObjectNotFound{}) {
		t.Errorf("a missing object: got %v, want ManagedObjectNotFound", err)
	}
	has, err := object.NewAuthorizationManager(b.client.Client).HasUserPrivilegeOnEntities(
		t.Context(), []types.ManagedObjectReference{vsan}, Username, []string{"Datastore.Browse", "Datastore.FileManagement"})
	if err != nil {
		t.Fatal(err)
	}
	want := []types.PrivilegeAvailability{{PrivId: "Datastore.Browse"}, {PrivId: "Datastore.FileManagement", IsGranted: true}}
	if diff := cmp.Diff(want, has[0].PrivAvailability); diff != "" {
		t.Errorf("availability (-want +got):\n%s", diff)
	}
}

func TestProxyBreaksConnections(t *testing.T) {
	b := newBench(t, Options{})
	proxy := b.vc.Proxy(t)
	client, err := dial(t, proxy.Host(), b.vc.CACertificate(), Username, Password)
	if err != nil {
		t.Fatal(err)
	}
	search := find.NewFinder(client.Client, false)
	folder, err := search.Folder(t.Context(), FolderK8s)
	if err != nil {
		t.Fatal(err)
	}

	proxy.SwallowNextResponse()
	if _, err := folder.CreateFolder(t.Context(), "swallowed"); err == nil {
		t.Error("a swallowed response arrived")
	}
	if _, err := b.search.Folder(t.Context(), FolderK8s+"/swallowed"); err != nil {
		t.Errorf("the call whose response was swallowed was not executed: %v", err)
	}

	proxy.Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := folder.CreateFolder(ctx, "stalled"); err == nil {
		t.Error("a stalled call was answered")
	}
	proxy.Resume()
	if _, err := search.Folder(t.Context(), FolderTemplates); err != nil {
		t.Errorf("after Resume: %v", err)
	}

	proxy.Cut()
	// Connections the client keeps are dead; new ones are let through.
	client.CloseIdleConnections()
	if _, err := search.Folder(t.Context(), FolderTemplates); err != nil {
		t.Errorf("after Cut: %v", err)
	}
}

func TestProxyCutsCallsInFlight(t *testing.T) {
	b := newBench(t, Options{})
	proxy := b.vc.Proxy(t)
	client, err := dial(t, proxy.Host(), b.vc.CACertificate(), Username, Password)
	if err != nil {
		t.Fatal(err)
	}
	b.vc.OnCall(func(method string, _ int) error {
		if method == "CreateFolder" {
			proxy.Cut()
		}
		return nil
	})
	folder := object.NewFolder(client.Client, *b.ref(FolderK8s))
	if _, err := folder.CreateFolder(t.Context(), "cut"); err == nil {
		t.Error("a call was answered whose connection was cut")
	}
}

// TestEveryPrivilegeOfTheListsIsKnown reads the lists of the product where they are at hand.
func TestEveryPrivilegeOfTheListsIsKnown(t *testing.T) {
	data, err := os.ReadFile("../vsphere/vsphere-privileges.json")
	if err != nil {
		t.Skip("the lists of privileges are not here")
	}
	var lists struct {
		Roles map[string][]string `json:"roles"`
	}
	if err := json.Unmarshal(data, &lists); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, Options{})
	manager := object.NewAuthorizationManager(b.client.Client)
	for role, ids := range lists.Roles {
		results, err := manager.HasUserPrivilegeOnEntities(t.Context(), []types.ManagedObjectReference{*b.ref(FolderK8s)}, Username, ids)
		if err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		for _, availability := range results[0].PrivAvailability {
			if !availability.IsGranted {
				t.Errorf("%s: %s is not granted", role, availability.PrivId)
			}
		}
	}
}
