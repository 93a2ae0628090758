package testkit

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial reaches the vCenter as any client does: counted, hooked, and trusting only its CA.
func dial(t *testing.T, host, ca, user, password string) (*govmomi.Client, error) {
	t.Helper()
	transport := soap.NewClient(&url.URL{Scheme: "https", Host: host, Path: vim25.Path}, false)
	if err := transport.SetRootCAs(writeFile(t, ca)); err != nil {
		return nil, err
	}
	t.Cleanup(transport.CloseIdleConnections)
	vim, err := vim25.NewClient(t.Context(), transport)
	if err != nil {
		return nil, err
	}
	client := &govmomi.Client{Client: vim, SessionManager: session.NewManager(vim)}
	return client, client.Login(t.Context(), url.UserPassword(user, password))
}

func mustDial(t *testing.T, vc *VCenter) *govmomi.Client {
	t.Helper()
	client, err := dial(t, vc.Host(), vc.CACertificate(), vc.Username(), vc.Password())
	if err != nil {
		t.Fatalf("logging in: %v", err)
	}
	return client
}

func TestInventoryIsFoundByItsPaths(t *testing.T) {
	vc := Start(t, Options{VMs: 3})
	client := vc.Client(t)
	search := find.NewFinder(client.Client, false)
	for _, path := range []string{
		"/" + DatacenterNorth, "/" + DatacenterSouth, ClusterProdA, ClusterProdB, ClusterEdge, ClusterDRA, PoolK8s, PoolBatch,
		DatastoreVSAN, DatastoreNFS, DatastorePod, DatastoreVMFSA, DatastoreVMFSB, DatastoreEdge, DatastoreDR,
		NetworkStandard, SwitchNorth, NetworkK8s120, NetworkK8s121, NetworkTrunk, NetworkUplink, NetworkNSX, NetworkOpaque,
		NetworkDR, FolderK8s, FolderTemplates, FolderLegacy, Template133, Template134, Template134NoSnapshot, TemplateRocky,
		TemplateWindows, TemplateDR, VMBilling, VMWiki, "/dc-north/vm/bulk/000/vm-00002",
	} {
		elements, err := search.ManagedObjectList(t.Context(), path)
		if err != nil || len(elements) != 1 || elements[0].Path != path {
			t.Errorf("looking for %s: got %v, %v", path, elements, err)
		}
	}
	want := []string{
		"/dc-north/vm/bulk/000/vm-00000", "/dc-north/vm/bulk/000/vm-00001", "/dc-north/vm/bulk/000/vm-00002",
		VMBilling, VMWiki,
	}
	if diff := cmp.Diff(want, vc.VMs()); diff != "" {
		t.Errorf("VMs (-want +got):\n%s", diff)
	}
	if got := vc.VM("vm-00002"); got.Datastore != DatastoreNFS || got.InstanceUUID == vc.VM("vm-00001").InstanceUUID {
		t.Errorf("an extra VM: %+v", got)
	}
	if err := vc.DestroyVM("vm-00002"); err != nil || vc.VM("vm-00002").Exists || !vc.VM("vm-00001").Exists {
		t.Errorf("destroying an extra VM: %v", err)
	}
	if diff := cmp.Diff(map[string]int{}, vc.Calls()); diff != "" {
		t.Errorf("the kit's own calls were counted (-want +got):\n%s", diff)
	}
}

func TestZonesAreTags(t *testing.T) {
	vc := Start(t, Options{})
	client := mustDial(t, vc)
	api := rest.NewClient(client.Client)
	if err := api.Login(t.Context(), url.UserPassword(vc.Username(), vc.Password())); err != nil {
		t.Fatal(err)
	}
	cluster, err := find.NewFinder(client.Client, false).ClusterComputeResource(t.Context(), ClusterProdB)
	if err != nil {
		t.Fatal(err)
	}
	vc.ResetCalls()
	attached, err := tags.NewManager(api).GetAttachedTags(t.Context(), cluster.Reference())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, tag := range attached {
		got[tag.Name] = true
	}
	if diff := cmp.Diff(map[string]bool{"zone-b": true, "region-north": true}, got); diff != "" {
		t.Errorf("tags of prod-b (-want +got):\n%s", diff)
	}
	if vc.RESTCalls() == 0 {
		t.Error("REST requests are not counted")
	}
}

func TestOnlyTheAccountLogsIn(t *testing.T) {
	for _, test := range []struct {
		reason, user, password string
		ok                     bool
	}{
		{"the account", Username, Password, true},
		{"a wrong password", Username, "wrong", false},
		{"another user", "root", Password, false},
		{"the simulator's own default", "user", "pass", false},
	} {
		t.Run(test.reason, func(t *testing.T) {
			vc := Start(t, Options{})
			_, err := dial(t, vc.Host(), vc.CACertificate(), test.user, test.password)
			if (err == nil) != test.ok {
				t.Fatalf("logging in: %v", err)
			}
			if !test.ok && !fault.Is(err, &types.InvalidLogin{}) {
				t.Errorf("got %v, want InvalidLogin", err)
			}
			failed := 0
			if !test.ok {
				failed = 1
			}
			if vc.LoginAttempts() != 1 || vc.FailedLogins() != failed {
				t.Errorf("attempts %d, failed %d", vc.LoginAttempts(), vc.FailedLogins())
			}
		})
	}
}

func TestThumbprintsAreTheServers(t *testing.T) {
	vc := Start(t, Options{})
	for _, thumbprint := range []string{vc.Thumbprint(), vc.ThumbprintSHA1()} {
		transport := soap.NewClient(&url.URL{Scheme: "https", Host: vc.Host(), Path: vim25.Path}, false)
		transport.SetThumbprint(vc.Host(), thumbprint)
		if _, err := vim25.NewClient(t.Context(), transport); err != nil {
			t.Errorf("%s: %v", thumbprint, err)
		}
		transport.CloseIdleConnections()
	}
}

func TestCallsAreCountedExactly(t *testing.T) {
	vc := Start(t, Options{})
	client := mustDial(t, vc)
	search := find.NewFinder(client.Client, false)
	if _, err := search.Datacenter(t.Context(), "/"+DatacenterNorth); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"RetrieveServiceContent": 1, "Login": 1, "RetrievePropertiesEx": 1}
	if diff := cmp.Diff(want, vc.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got := vc.SOAPCalls(); got != 1 {
		t.Errorf("SOAPCalls() = %d, want 1", got)
	}
	vc.ResetCalls()
	if got := vc.SOAPCalls(); got != 0 {
		t.Errorf("SOAPCalls() after a reset = %d", got)
	}
}

func TestHooksLoseCallsAndResponses(t *testing.T) {
	vc := Start(t, Options{})
	client := mustDial(t, vc)
	folder, err := find.NewFinder(client.Client, false).Folder(t.Context(), FolderK8s)
	if err != nil {
		t.Fatal(err)
	}
	lost := errors.New("lost")
	vc.OnCall(func(method string, _ int) error {
		if method == "CreateFolder" {
			return lost
		}
		return nil
	})
	if _, err := folder.CreateFolder(t.Context(), "before"); err == nil {
		t.Error("a lost call succeeded")
	}
	vc.OnCall(nil)
	var numbers []int
	vc.ResetCalls()
	vc.AfterCall(func(_ string, n int) error {
		numbers = append(numbers, n)
		return lost
	})
	if _, err := folder.CreateFolder(t.Context(), "after"); err == nil {
		t.Error("a lost response arrived")
	}
	vc.AfterCall(nil)
	search := find.NewFinder(vc.Client(t).Client, false)
	if _, err := search.Folder(t.Context(), FolderK8s+"/before"); err == nil {
		t.Error("the lost call was executed")
	}
	if _, err := search.Folder(t.Context(), FolderK8s+"/after"); err != nil {
		t.Errorf("the call whose response was lost was not executed: %v", err)
	}
	if diff := cmp.Diff([]int{1}, numbers); diff != "" {
		t.Errorf("numbers of calls (-want +got):\n%s", diff)
	}
}

func TestKilledSessionsAreNotAuthenticated(t *testing.T) {
	vc := Start(t, Options{})
	client, own := mustDial(t, vc), vc.Client(t)
	vc.KillSessions()
	_, err := find.NewFinder(client.Client, false).Datacenter(t.Context(), "/"+DatacenterNorth)
	if !fault.Is(err, &types.NotAuthenticated{}) {
		t.Errorf("got %v, want NotAuthenticated", err)
	}
	if _, err := find.NewFinder(own.Client, false).Datacenter(t.Context(), "/"+DatacenterNorth); err != nil {
		t.Errorf("the kit's own session was killed: %v", err)
	}
	if err := client.Login(t.Context(), url.UserPassword(Username, Password)); err != nil {
		t.Errorf("logging in again: %v", err)
	}
}

func TestCloseTwiceAndByContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	vc, err := Run(ctx, Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	vc.Close()
	vc.Close()
}
