package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// folders are the full paths of the folders below k8s.
func (w *world) folders() []string {
	w.t.Helper()
	objects, err := w.hub.client.Inventory(w.t.Context(), gatewayapi.InventoryRequest{
		Account: w.a.Account, Query: inventory.Query{Kind: inventory.KindFolders, Datacenter: testkit.DatacenterNorth},
	})
	if err != nil {
		w.t.Fatalf("reading folders: %v", err)
	}
	paths := []string{}
	for _, folder := range objects.Folders {
		if strings.HasPrefix(folder.Path, testkit.FolderK8s) {
			paths = append(paths, folder.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// hasFolders wants these folders below k8s, and k8s itself, which was there before.
func (w *world) hasFolders(reason string, below ...string) {
	w.t.Helper()
	want := []string{testkit.FolderK8s}
	for _, folder := range below {
		want = append(want, testkit.FolderK8s+"/"+folder)
	}
	if diff := cmp.Diff(want, w.folders()); diff != "" {
		w.t.Errorf("%s: folders (-want +got): %s", reason, diff)
	}
}

// TestDeleteOfWhatIsGone deletes clusters of which somebody has already taken parts away.
func TestDeleteOfWhatIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		reason string
		away   func(vc *testkit.VCenter) error
	}{
		"template": {"the template is gone", func(vc *testkit.VCenter) error {
			return vc.DestroyTemplate(testkit.Template134)
		}},
		"folder": {"the folder is gone with all machines", func(vc *testkit.VCenter) error {
			return vc.DestroyFolder(testkit.FolderK8s + "/folder")
		}},
		"datastore": {"the datastore is gone, and the machines cannot be reached", func(vc *testkit.VCenter) error {
			return vc.DestroyDatastore(testkit.DatastoreVSAN)
		}},
		"machine": {"one machine is gone", func(vc *testkit.VCenter) error { return vc.DestroyVM("machine-general-0") }},
		"machines": {"all machines are gone", func(vc *testkit.VCenter) error {
			for _, suffix := range all {
				if err := vc.DestroyVM("machines-" + suffix); err != nil {
					return err
				}
			}
			return nil
		}},
		"off": {"a machine is off", func(vc *testkit.VCenter) error { return vc.PowerOffVM("off-general-0") }},
		"moved": {"a machine was moved away", func(vc *testkit.VCenter) error {
			return vc.MoveVM("moved-general-0", testkit.FolderLegacy)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			vc := testkit.Start(t, testkit.Options{})
			w := newWorld(t, vc, name, "")
			w.withPool(hourPool("10.120.0.0/24"))
			w.ready(test.reason, all...)
			if err := test.away(vc); err != nil {
				t.Fatal(err)
			}
			w.destroyed(test.reason)
			w.hasFolders(test.reason)
			w.destroyed(test.reason + ", and it is deleted once more")
		})
	}
}

// TestForeignDisk deletes a cluster with somebody's disk attached to a machine: the machine is named and stays, with the
// disk, until that is detached.
func TestForeignDisk(t *testing.T) {
	const (
		reason  = "a foreign disk"
		machine = "/dc-north/vm/k8s/disk/disk-general-0"
		file    = "[vsan-prod] data/volume.vmdk"
	)
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "disk", "")
	w.ready(reason, all...)
	if err := vc.AttachForeignDisk(machine, file); err != nil {
		t.Fatal(err)
	}
	w.a.Deleting = true
	w.failed(reason, machine, file)
	w.has(reason, "general-0")
	w.hasFolders(reason, "disk")
	detach(t, vc, machine, file)
	w.destroyed(reason + " that was detached")
	w.hasFolders(reason + " that was detached")
	if !vc.DiskExists(file) {
		t.Error("the foreign disk is gone")
	}
}

// detach takes a disk away from a VM and keeps its file.
func detach(t *testing.T, vc *testkit.VCenter, machine, file string) {
	t.Helper()
	client := vc.Client(t)
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: vc.VM(machine).Moid}
	vm := object.NewVirtualMachine(client.Client, ref)
	devices, err := vm.Device(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	disks := devices.SelectByBackingInfo(&types.VirtualDiskFlatVer2BackingInfo{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: file},
	})
	if len(disks) != 1 {
		t.Fatalf("%s has %d disks at %s, want one", machine, len(disks), file)
	}
	if err := vm.RemoveDevice(t.Context(), true, disks...); err != nil {
		t.Fatal(err)
	}
}

// TestForeignVMKeepsFolder deletes a cluster in whose folder somebody has put a VM.
func TestForeignVMKeepsFolder(t *testing.T) {
	const reason = "a foreign VM in the folder"
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "guesthouse", "")
	w.ready(reason, all...)
	if err := vc.CreateForeignVM(testkit.FolderK8s+"/guesthouse", "lodger"); err != nil {
		t.Fatal(err)
	}
	w.others = append(w.others, testkit.FolderK8s+"/guesthouse/lodger")
	w.destroyed(reason)
	w.hasFolders(reason, "guesthouse")
}

// TestFolders makes clusters in nested folders: each takes away what was made for it, and what others use stays.
func TestFolders(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	one := newWorld(t, vc, "one", "")
	one.a.Spec.Folder = "k8s/team/one"
	one.workers(0)
	one.ready("the first cluster of a team", "cp-0")
	two := newWorld(t, vc, "two", "")
	two.a.Spec.Folder = "k8s/team/two"
	two.workers(0)
	two.ready("the second cluster of a team", "cp-0")
	two.destroyed("the second cluster of a team")
	two.hasFolders("the team's folder was there before the second cluster", "team", "team/one")
	one.destroyed("the first cluster of a team")
	one.hasFolders("the team's folder was made for the first cluster")

	plain := newWorld(t, vc, "plain", "")
	plain.a.Spec.Folder = "k8s"
	plain.workers(0)
	plain.ready("a cluster in a folder that was there", "cp-0")
	plain.destroyed("a cluster in a folder that was there")
	plain.hasFolders("a folder that was there stays")
}
