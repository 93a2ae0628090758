package vsphere

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func TestClassify(t *testing.T) {
	fault := func(f types.BaseMethodFault) error {
		return fmt.Errorf("wrapped: %w", taskFault(&types.LocalizedMethodFault{Fault: f}))
	}
	tests := map[string]struct {
		reason string
		err    error
		want   Class
	}{
		"None":         {"no error", nil, ClassNone},
		"Busy":         {"another task is running", fault(&types.TaskInProgress{}), ClassRetry},
		"Concurrent":   {"somebody else was faster", fault(&types.ConcurrentAccess{}), ClassRetry},
		"InUse":        {"in use for now", fault(&types.ResourceInUse{}), ClassRetry},
		"EOF":          {"a cut connection", &UnreachableError{Err: io.EOF}, ClassRetry},
		"Lost":         {"a task out of sight", errTaskLost, ClassRetry},
		"Space":        {"a full datastore", fault(&types.NoDiskSpace{}), ClassNoRoom},
		"Memory":       {"a kind of insufficient resources", fault(&types.InsufficientMemoryResourcesFault{}), ClassNoRoom},
		"Inaccessible": {"a kind of invalid datastore", fault(&types.InaccessibleDatastore{}), ClassNoRoom},
		"Permission":   {"a missing privilege", fault(&types.NoPermission{}), ClassPermission},
		"Gone":         {"an object that is gone", fault(&types.ManagedObjectNotFound{}), ClassGone},
		"SoapGone":     {"a fault of a call", soap.WrapVimFault(&types.ManagedObjectNotFound{}), ClassGone},
		"Joined":       {"a fault beside another error", errors.Join(nil, soap.WrapVimFault(&types.TaskInProgress{})), ClassRetry},
		"View":         {"a view that went with its session", errViewLost, ClassRetry},
		"Credentials":  {"a refused password", ErrCredentials, ClassFatal},
		"Untrusted":    {"a certificate", &UntrustedError{}, ClassFatal},
		"Other":        {"anything else", fault(&types.InvalidArgument{}), ClassFatal},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Classify(tc.err)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestFaultMessage(t *testing.T) {
	inner := &types.NoDiskSpace{}
	inner.FaultMessage = []types.LocalizableMessage{{Message: "Insufficient disk space on datastore 'x'."}}
	outer := &types.CannotCreateFile{}
	outer.FaultCause = &types.LocalizedMethodFault{Fault: inner, LocalizedMessage: "No space."}
	got := faultMessage(outer, "Cannot create file.")
	if diff := cmp.Diff("Cannot create file.: No space.: Insufficient disk space on datastore 'x'.", got); diff != "" {
		t.Errorf("every part of the message counts: -want, +got:\n%s", diff)
	}
}

func TestParseProgress(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := map[string]struct {
		reason, text string
		want         cluster.Progress
	}{
		"Whole": {"all four parts", "2026-01-02T03:04:05Z|etcd|run|a|b", cluster.Progress{
			At: at, Phase: "etcd", Status: cluster.ProgressRunning, Text: "a|b",
		}},
		"Short":  {"without text", "2026-01-02T03:04:05Z|joined|ok", cluster.Progress{At: at, Phase: "joined", Status: "ok"}},
		"Absent": {"nothing yet", "", cluster.Progress{}},
		"Time":   {"a time that is none", "yesterday|joined|ok|", cluster.Progress{}},
		"Control": {"escape sequences do not reach a terminal", "2026-01-02T03:04:05Z|x|fail|\x1b[31mred\n", cluster.Progress{
			At: at, Phase: "x", Status: cluster.ProgressFailed, Text: "[31mred ",
		}},
		"Long": {"untrusted text is bounded", "2026-01-02T03:04:05Z|x|run|" + strings.Repeat("é", 5000), cluster.Progress{
			At: at, Phase: "x", Status: cluster.ProgressRunning, Text: strings.Repeat("é", maxProgress),
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parseProgress(tc.text)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func FuzzParseProgress(f *testing.F) {
	f.Add("2026-01-02T03:04:05Z|etcd|run|text")
	f.Fuzz(func(t *testing.T, text string) {
		got := parseProgress(text)
		for _, part := range []string{got.Phase, string(got.Status), got.Text} {
			if !utf8.ValidString(part) || utf8.RuneCountInString(part) > maxProgress || strings.ContainsAny(part, "\x00\x1b\n") {
				t.Errorf("parseProgress(%q) lets %q through", text, part)
			}
		}
	})
}

func TestPrivilegeList(t *testing.T) {
	list, err := loadPrivileges()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{
		"vcenter_root": true, "target_datacenter": true, "target_cluster": true, "distributed_switch": true,
		"target_network": true, "target_resource_pool": true, "esxi_hosts_of_target_cluster": true,
		"target_datastore": true, "spectro_templates_folder": true, "target_vm_folder": true,
	}
	for _, assignment := range list.Assignments {
		if !known[assignment.Object] {
			t.Errorf("nothing resolves the assignment on %q", assignment.Object)
		}
		if len(list.Roles[assignment.Role]) == 0 {
			t.Errorf("role %q has no privileges", assignment.Role)
		}
	}
}

func TestMissingPrivileges(t *testing.T) {
	list, err := loadPrivileges()
	if err != nil {
		t.Fatal(err)
	}
	_, s := openKit(t, testkit.Options{})
	fresh, err := s.freshTree(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects := VerifyObjects{
		Datacenter: "dc-north", ComputeCluster: "prod-a", Folder: "k8s/not/yet/made", Datastore: "vsan-prod",
		Network: "pg-k8s-120", TemplatesFolder: "templates",
	}
	tests := map[string]struct {
		reason string
		change func(*VerifyObjects)
		path   string
		remove string
		want   []MissingPrivilege
	}{
		"Root": {
			reason: "the vCenter itself", path: "/", remove: "Cns.Searchable",
			want: []MissingPrivilege{{Privilege: "Cns.Searchable", Object: "/", Role: "spectro_root_role"}},
		},
		"DefaultPool": {
			reason: "the cluster needs the larger role for its default pool", path: testkit.ClusterProdA,
			remove: "Resource.AssignVMToPool",
			want: []MissingPrivilege{{
				Privilege: "Resource.AssignVMToPool", Object: testkit.ClusterProdA, Role: "spectro_role",
			}},
		},
		"OwnPool": {
			reason: "with its own pool the cluster does not need it", path: testkit.ClusterProdA,
			change: func(o *VerifyObjects) { o.ResourcePool = "k8s" }, remove: "Resource.AssignVMToPool",
			want: []MissingPrivilege{},
		},
		"Pool": {
			reason: "but the pool does", path: testkit.PoolK8s,
			change: func(o *VerifyObjects) { o.ResourcePool = "k8s" }, remove: "Resource.AssignVMToPool",
			want: []MissingPrivilege{{
				Privilege: "Resource.AssignVMToPool", Object: testkit.PoolK8s, Role: "spectro_role", Propagate: true,
			}},
		},
		"Switch": {
			reason: "a distributed port group needs its switch", path: testkit.SwitchNorth, remove: "Network.Assign",
			want: []MissingPrivilege{{Privilege: "Network.Assign", Object: testkit.SwitchNorth, Role: "spectro_root_role"}},
		},
		"NoSwitch": {
			reason: "a standard network has none", path: testkit.SwitchNorth, remove: "Network.Assign",
			change: func(o *VerifyObjects) { o.Network = "VM Network" }, want: []MissingPrivilege{},
		},
		"Folder": {
			reason: "a folder yet to be made needs its parent", path: testkit.FolderK8s, remove: "Folder.Create",
			want: []MissingPrivilege{{
				Privilege: "Folder.Create", Object: testkit.FolderK8s, Role: "spectro_role", Propagate: true,
			}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := objects
			if tc.change != nil {
				tc.change(&o)
			}
			targets, err := s.privilegeTargets(fresh, o)
			if err != nil {
				t.Fatal(err)
			}
			granted := map[types.ManagedObjectReference][]string{}
			for _, refs := range targets {
				for _, ref := range refs {
					for _, privilege := range append(list.Roles["spectro_role"], list.Roles["spectro_root_role"]...) {
						if s.describe(ref) != tc.path || privilege != tc.remove {
							granted[ref] = append(granted[ref], privilege)
						}
					}
				}
			}
			if diff := cmp.Diff(tc.want, list.missing(targets, granted, s.describe)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
	var missing *NotFoundError
	if _, err := s.MissingPrivileges(t.Context(), VerifyObjects{Datacenter: "dc-nort"}); !errors.As(err, &missing) {
		t.Errorf("an object that does not exist: %v, want a NotFoundError", err)
	}
}

func TestInventoryContent(t *testing.T) {
	_, s := openKit(t, testkit.Options{})
	read := func(q inventory.Query) inventory.Objects {
		t.Helper()
		objects, err := s.Inventory(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return objects
	}
	clusters := read(inventory.Query{Kind: inventory.KindComputeClusters, Datacenter: "dc-north"}).ComputeClusters
	var states []string
	for _, c := range clusters {
		states = append(states, fmt.Sprintf(
			"%s %d drs=%v ha=%v %s %s", c.Name, len(c.Hosts), c.DRSEnabled, c.HAEnabled, c.Zone, c.Region))
	}
	if diff := cmp.Diff([]string{
		"edge 1 drs=false ha=false  region-north", "prod-a 3 drs=true ha=true zone-a region-north",
		"prod-b 3 drs=true ha=true zone-b region-north",
	}, states); diff != "" {
		t.Errorf("compute clusters: -want, +got:\n%s", diff)
	}
	kinds := map[string]string{}
	for _, n := range read(inventory.Query{Kind: inventory.KindNetworks, Datacenter: "dc-north"}).Networks {
		kinds[n.Name] = fmt.Sprint(n.Kind, " ", n.VLAN, " ", n.Switch)
	}
	if diff := cmp.Diff(map[string]string{
		"VM Network": "standard  ", "pg-k8s-120": "distributed 120 dvs-north", "pg-k8s-121": "distributed 121 dvs-north",
		"pg-trunk": "distributed 100-199,300 dvs-north", "nsx-overlay-1": "nsx 0 dvs-north", "nsx-opaque-1": "opaque  ",
	}, kinds); diff != "" {
		t.Errorf("networks: -want, +got:\n%s", diff)
	}
	stores := map[string]string{}
	for _, d := range read(inventory.Query{Kind: inventory.KindDatastores, ComputeCluster: "prod-b"}).Datastores {
		stores[d.Name] = fmt.Sprint(d.Type, " ", d.DatastoreCluster, " ", d.AccessibleFrom)
	}
	all := "[" + testkit.ClusterEdge + " " + testkit.ClusterProdA + " " + testkit.ClusterProdB + "]"
	both := "[" + testkit.ClusterProdA + " " + testkit.ClusterProdB + "]"
	if diff := cmp.Diff(map[string]string{
		"vsan-prod": "vsan  " + both, "nfs-templates": "NFS  " + all, "vmfs-b": "VMFS vmfs-pod " + both,
	}, stores); diff != "" {
		t.Errorf("datastores of prod-b: -want, +got:\n%s", diff)
	}
	var pools []string
	for _, p := range read(inventory.Query{Kind: inventory.KindResourcePools, ComputeCluster: "prod-a"}).ResourcePools {
		pools = append(pools, p.Path)
	}
	if diff := cmp.Diff([]string{testkit.ClusterProdA + "/Resources", testkit.PoolK8s, testkit.PoolBatch}, pools); diff != "" {
		t.Errorf("resource pools: -want, +got:\n%s", diff)
	}
	versions := map[string]string{}
	for _, v := range read(inventory.Query{Kind: inventory.KindTemplates, ComputeCluster: "prod-a"}).Templates {
		versions[v.Path] = fmt.Sprint(v.KubernetesVersion, " ", v.Snapshot, " ", v.Datastores, " ", len(v.Disks))
	}
	if diff := cmp.Diff(map[string]string{
		testkit.Template133: "v1.33.5 base [vsan-prod] 1", testkit.Template134: "v1.34.1 base [vsan-prod] 1",
		testkit.Template134NoSnapshot: "v1.34.1  [nfs-templates] 1",
	}, subset(versions, testkit.Template133, testkit.Template134, testkit.Template134NoSnapshot)); diff != "" {
		t.Errorf("templates: -want, +got:\n%s", diff)
	}
	if got := versions[testkit.TemplateRocky]; !strings.HasPrefix(got, "v1.32.8 ") {
		t.Errorf("a version in a name: %q", got)
	}
	if _, ok := versions[testkit.TemplateDR]; ok {
		t.Error("a template of another datacenter")
	}
	var folders []string
	for _, f := range read(inventory.Query{Kind: inventory.KindFolders, Datacenter: "/dc-north"}).Folders {
		folders = append(folders, f.Path)
	}
	if len(folders) == 0 || strings.Contains(strings.Join(folders, " "), "/host") {
		t.Errorf("folders: %v", folders)
	}
}

func subset(all map[string]string, keys ...string) map[string]string {
	out := map[string]string{}
	for _, key := range keys {
		out[key] = all[key]
	}
	return out
}

func TestFaultMessageSaysHowMuch(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		fault  types.BaseMethodFault
		want   string
	}{
		"Space": {"which datastore is full", &types.NoDiskSpace{Datastore: "vsan-prod"}, "datastore vsan-prod is full"},
		"Memory": {
			"memory in MiB", &types.InsufficientMemoryResourcesFault{Requested: 4 << 30, Unreserved: 1 << 30},
			"4096 MiB of memory are needed, 1024 MiB are unreserved",
		},
		"CPU": {
			"CPU in MHz", &types.InsufficientCpuResourcesFault{Requested: 4000, Unreserved: 200},
			"4000 MHz of CPU are needed, 200 MHz are unreserved",
		},
		"Name": {"a fault's bare name is no message", &types.InsufficientResourcesFault{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, faultMessage(tc.fault, faultName(tc.fault))); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
