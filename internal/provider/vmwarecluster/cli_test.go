package vmwarecluster

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	acc "github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// These tests drive the resource with the real CLI and a scripted hub, for what only a CLI can tell: whether plans are
// consistent with what is applied, and empty where nothing is to be done.

// testProvider has the resource and the data source and nothing else.
type testProvider struct {
	provider.Provider
	hub *fakeHub
}

func (p *testProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "palette"
}

func (p *testProvider) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (p *testProvider) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {
}

func (p *testProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return &Resource{reads: p.hub, writes: p.hub, records: p.hub} }}
}

func (p *testProvider) DataSources(context.Context) []func() datasource.DataSource {
	return []func() datasource.DataSource{func() datasource.DataSource { return &DataSource{reads: p.hub} }}
}

func factories(hub *fakeHub) map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"palette": providerserver.NewProtocol6WithError(&testProvider{hub: hub}),
	}
}

// settings are what a test changes in the configuration.
type settings struct {
	// Top are lines of the resource, Worker lines of the pool "general".
	Top, Worker string
	Version     string
	Folder      string
	Count       int
	Protected   bool
}

const address = "palette_vmware_cluster.prod"

func (s settings) hcl() string {
	if s.Version == "" {
		s.Version = "v1.34.1"
	}
	if s.Folder == "" {
		s.Folder = "null"
	}
	const pool = `
    cpu        = 2
    memory_mib = 4096
    disk_gib   = 20
    placements = [{ compute_cluster = "prod-a", datastore = "vsan", networks = ["pg"] }]`
	return fmt.Sprintf(`
resource "palette_vmware_cluster" "prod" {
  name                   = "prod"
  cloud_account_id       = "account"
  kubernetes_version     = %q
  datacenter             = "dc"
  template               = "ubuntu"
  folder                 = %s
  deletion_protection    = %t
  control_plane_endpoint = { host = "10.0.0.9" }
  control_plane = {
    count = 1%s
  }
  worker_pools = { general = {
    count = %d%s
%s
  } }
%s
}
`, s.Version, s.Folder, s.Protected, pool, s.Count, pool, s.Worker, s.Top)
}

func planned(lines ...string) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New("planned_operations"), exactList(lines))
}

func exactList(lines []string) knownvalue.Check {
	checks := make([]knownvalue.Check, len(lines))
	for i, line := range lines {
		checks[i] = knownvalue.StringExact(line)
	}
	return knownvalue.ListExact(checks)
}

func planShows(action plancheck.ResourceActionType, lines ...string) acc.ConfigPlanChecks {
	checks := []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}
	if lines != nil {
		checks = append(checks, plancheck.ExpectKnownValue(address, tfjsonpath.New("planned_operations"), exactList(lines)))
	}
	return acc.ConfigPlanChecks{
		PreApply:             checks,
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

func TestCLILifecycle(t *testing.T) {
	hub := newFakeHub()
	noCalls := func(reason string) func() {
		return func() {
			if n := hub.took("PutCluster"); n != 0 {
				t.Errorf("%s: %d writes", reason, n)
			}
		}
	}
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{
			{ // Create.
				Config:           settings{Count: 2}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionCreate, "clone prod-control-plane-0", "clone prod-general-0", "clone prod-general-1"),
				ConfigStateChecks: []statecheck.StateCheck{
					planned("clone prod-control-plane-0", "clone prod-general-0", "clone prod-general-1"),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("ready"), knownvalue.Bool(true)),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("folder"), knownvalue.StringExact("prod")),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("machines"), knownvalue.ListSizeExact(3)),
				},
			},
			{ // Import by id.
				ResourceName: address, ImportState: true, ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"planned_operations", "deletion_protection"},
			},
			{ // Import by name.
				ResourceName: address, ImportState: true, ImportStateId: "prod", ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"planned_operations", "deletion_protection"},
			},
			{ // An import plans empty.
				Config:       settings{Count: 2, Protected: true}.hcl(),
				ResourceName: address, ImportState: true, ImportStateKind: acc.ImportBlockWithID,
			},
			{ // Scale out.
				Config:           settings{Count: 3}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate, "clone prod-general-2"),
			},
			{ // A machine moves and is restarted by somebody: no difference but a refreshed state.
				PreConfig: func() {
					hub.took("")
					hub.change("prod", func(c *hubapi.Cluster) { c.Status.Machines[0].Host = "esx-2" })
				},
				Config:           settings{Count: 3}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionNoop),
			},
			{ // Only the provider's own attributes.
				PreConfig:        noCalls("a no-op plan writes nothing"),
				Config:           settings{Count: 3, Top: `timeouts = { create = "10m" }`}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate, "clone prod-general-2"),
			},
			{ // Drift.
				PreConfig: func() {
					noCalls("attributes of the provider write nothing")()
					hub.change("prod", func(c *hubapi.Cluster) { c.Status.Machines[2].State = "powered-off" })
				},
				Config:           settings{Count: 3, Top: `timeouts = { create = "10m" }`}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate, "repair prod-general-1"),
			},
			{ // Annotations, empty collections, a strategy.
				Config: settings{
					Count: 3, Top: `ssh_authorized_keys = []`,
					Worker: `
    labels = {}
    taints = []
    annotations = { a = "b" }
    update_strategy = { max_unavailable = 1 }`,
				}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate),
			},
			{ // Rolling replacement, scale in.
				Config: settings{Count: 1, Version: "v1.34.2"}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate, "destroy prod-general-1", "destroy prod-general-2",
					"replace prod-control-plane-0", "replace prod-general-0"),
			},
			{ // Replacement.
				Config:           settings{Count: 1, Version: "v1.34.2", Folder: `"k8s/prod"`}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionDestroyBeforeCreate),
			},
			{ // Tainted although it is ready.
				Taint:            []string{address},
				Config:           settings{Count: 1, Version: "v1.34.2", Folder: `"k8s/prod"`}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionDestroyBeforeCreate),
			},
			{ // As data.
				Config: settings{Count: 1, Version: "v1.34.2", Folder: `"k8s/prod"`}.hcl() + `
data "palette_vmware_cluster" "by_id" { id = palette_vmware_cluster.prod.id }
data "palette_vmware_cluster" "by_name" { name = palette_vmware_cluster.prod.name }
`,
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue("data.palette_vmware_cluster.by_id", tfjsonpath.New("name"), knownvalue.StringExact("prod")),
					statecheck.ExpectKnownValue("data.palette_vmware_cluster.by_name", tfjsonpath.New("machines"), knownvalue.ListSizeExact(2)),
				},
			},
			{ // Disappeared.
				PreConfig: func() {
					hub.mu.Lock()
					defer hub.mu.Unlock()
					clear(hub.clusters)
				},
				Config:           settings{Count: 1}.hcl(),
				ConfigPlanChecks: planShows(plancheck.ResourceActionCreate),
			},
		},
	})
	if len(hub.clusters) > 0 {
		t.Errorf("destroy left %v", hub.clusters)
	}
}

func TestCLIResume(t *testing.T) {
	hub := newFakeHub()
	hub.work = hangs
	config := settings{Count: 1, Top: `timeouts = { create = "200ms" }`}.hcl()
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{
			{ // The create runs into its timeout: no error, not tainted, and the next plan is to go on.
				Config:             config,
				ExpectNonEmptyPlan: true,
				ConfigPlanChecks: acc.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
					plancheck.ExpectUnknownValue(address, tfjsonpath.New("ready")),
					plancheck.ExpectUnknownValue(address, tfjsonpath.New("planned_operations")),
				}},
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(address, tfjsonpath.New("ready"), knownvalue.Bool(false)),
				},
			},
			{
				PreConfig: func() {
					hub.mu.Lock()
					defer hub.mu.Unlock()
					hub.work = nil
				},
				Config:           config,
				ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue(address, tfjsonpath.New("ready"), knownvalue.Bool(true)),
				},
			},
		},
	})
}

func TestCLIFailedCreateIsReplaced(t *testing.T) {
	hub := newFakeHub()
	hub.work = func(c *hubapi.Cluster) bool { return c.DeletedAt != nil || fails("kubeadm said no")(c) }
	config := settings{Count: 1, Protected: true}.hcl()
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{
			{Config: config, ExpectError: regexp.MustCompile(`(?s)kubeadm said no.*untaint`)},
			{ // Protection does not stand in the way: the cluster has never been ready.
				PreConfig: func() {
					hub.mu.Lock()
					defer hub.mu.Unlock()
					hub.work = nil
				},
				Config:           config,
				ConfigPlanChecks: planShows(plancheck.ResourceActionDestroyBeforeCreate),
			},
			{Config: settings{Count: 1}.hcl()},
		},
	})
}

// TestCLIHalfDeleted goes on after a destroy that did not finish, whatever the configuration says by then.
func TestCLIHalfDeleted(t *testing.T) {
	set := settings{Count: 1, Top: `timeouts = { delete = "200ms" }`}
	more := set
	more.Count = 2
	for name, tc := range map[string]struct {
		reason string
		work   func(c *hubapi.Cluster) bool
		next   acc.TestStep
	}{
		"DestroyAgain": {
			reason: "a destroy finishes what one before it began, also with a changed configuration",
			work:   hangs, next: acc.TestStep{Config: more.hcl(), Destroy: true},
		},
		"Apply": {
			reason: "an apply that wants a cluster finishes the destroy and makes one",
			work:   hangs, next: acc.TestStep{Config: more.hcl(), ConfigPlanChecks: planShows(plancheck.ResourceActionDestroyBeforeCreate)},
		},
		"ApplyAfterFailure": {
			reason: "and so it does after a destroy that was refused",
			work:   fails("a disk is in the way"),
			next:   acc.TestStep{Config: set.hcl(), ConfigPlanChecks: planShows(plancheck.ResourceActionDestroyBeforeCreate)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			hub := newFakeHub()
			works := func(work func(c *hubapi.Cluster) bool) func() {
				return func() {
					hub.mu.Lock()
					defer hub.mu.Unlock()
					hub.work = work
				}
			}
			tc.next.PreConfig = works(nil)
			acc.UnitTest(t, acc.TestCase{
				ProtoV6ProviderFactories: factories(hub),
				Steps: []acc.TestStep{
					{Config: set.hcl()},
					{PreConfig: works(tc.work), Config: set.hcl(), Destroy: true, ExpectError: regexp.MustCompile(`Unable to Delete Cluster`)},
					tc.next,
				},
			})
		})
	}
}

func TestCLIProtection(t *testing.T) {
	hub := newFakeHub()
	protected := settings{Count: 1, Protected: true}
	moved := protected
	moved.Folder = `"elsewhere"`
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{
			{Config: protected.hcl()},
			{Config: protected.hcl(), Destroy: true, ExpectError: regexp.MustCompile("Cluster Is Protected From Deletion")},
			{Config: moved.hcl(), ExpectError: regexp.MustCompile("Cluster Is Protected From Deletion")},
			{Config: settings{Count: 1}.hcl(), ConfigPlanChecks: planShows(plancheck.ResourceActionUpdate)},
		},
	})
}

func TestCLITakesOverUnfinishedCreate(t *testing.T) {
	hub := newFakeHub()
	spec := smallSpec()
	hub.clusters["2a2f8a1c-6f0b-4c58-8f5c-0c8d6f1d7e3a"] = hubapi.Cluster{
		Meta: hubapi.Meta{ID: "2a2f8a1c-6f0b-4c58-8f5c-0c8d6f1d7e3a", Name: "prod", Generation: 1},
		Spec: spec, Status: hubapi.ClusterStatus{Phase: hubapi.PhaseProvisioning, Machines: machinesOf(spec)},
	}
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{{
			Config: settings{Count: 1}.hcl(),
			ConfigPlanChecks: acc.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{plancheck.ExpectUnknownValue(address, tfjsonpath.New("planned_operations"))},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			ConfigStateChecks: []statecheck.StateCheck{
				planned("clone prod-general-0"),
				statecheck.ExpectKnownValue(address, tfjsonpath.New("id"),
					knownvalue.StringExact("2a2f8a1c-6f0b-4c58-8f5c-0c8d6f1d7e3a")),
			},
		}},
	})
}

func TestCLIPlanErrors(t *testing.T) {
	taken := func(hub *fakeHub) {
		c := hubapi.Cluster{Meta: hubapi.Meta{ID: "theirs", Name: "prod"}, Spec: smallSpec()}
		asAsked(&c)
		hub.clusters["theirs"] = c
	}
	for name, tc := range map[string]struct {
		reason string
		set    settings
		hub    func(hub *fakeHub)
		change func(config string) string
		want   string
	}{
		"EvenControlPlane": {
			reason: "An even control plane is refused without asking anybody.",
			change: func(config string) string { return strings.Replace(config, "count = 1", "count = 2", 1) },
			want:   "Invalid Control Plane Count",
		},
		"BadVersion": {reason: "A version has three parts.", set: settings{Version: "v1.34"}, want: "Invalid Kubernetes Version"},
		"BadPoolName": {
			reason: "A pool cannot be named as the control plane is.",
			change: func(config string) string { return strings.Replace(config, "general = {", "control-plane = {", 1) },
			want:   "(?s)Invalid Attribute Value Match|must be none of|control-plane",
		},
		"BadMemory": {
			reason: "vSphere takes multiples of 4 MiB.",
			change: func(config string) string { return strings.Replace(config, "4096", "4097", 1) },
			want:   `Invalid Memory Size(?s:.*)control_plane\.memory_mib`,
		},
		"Problem": {
			reason: "What the hub finds is an error on its attribute.",
			hub: func(hub *fakeHub) {
				hub.problems = []hubapi.ClusterProblem{{
					Severity: hubapi.SeverityError, Field: "/worker_pools/general/placements/0/datastore", Message: "there is no datastore vsan",
				}}
			},
			want: `worker_pools\["general"\]\.placements\[0\]\.datastore`,
		},
		"NameTaken": {reason: "Somebody else's cluster is left alone.", hub: taken, want: "A cluster of this name exists"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub()
			if tc.hub != nil {
				tc.hub(hub)
			}
			tc.set.Count = 1
			config := tc.set.hcl()
			if tc.change != nil {
				config = tc.change(config)
			}
			acc.UnitTest(t, acc.TestCase{
				ProtoV6ProviderFactories: factories(hub),
				Steps:                    []acc.TestStep{{Config: config, PlanOnly: true, ExpectError: regexp.MustCompile(tc.want)}},
			})
			if hub.took("PutCluster") > 0 {
				t.Errorf("%s: but it was written", tc.reason)
			}
		})
	}
}

func TestCLIUnknownInputs(t *testing.T) {
	hub := newFakeHub()
	config := `
resource "terraform_data" "later" { input = "account" }
` + strings.Replace(settings{Count: 1}.hcl(), `"account"`, "terraform_data.later.output", 1)
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{{
			Config: config,
			ConfigPlanChecks: acc.ConfigPlanChecks{
				PreApply:             []plancheck.PlanCheck{plancheck.ExpectUnknownValue(address, tfjsonpath.New("planned_operations"))},
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			},
			ConfigStateChecks: []statecheck.StateCheck{planned("clone prod-control-plane-0", "clone prod-general-0")},
		}},
	})
}

// TestCLIOtherHub points the provider at other records than those with the cluster: it is not forgotten.
func TestCLIOtherHub(t *testing.T) {
	hub := newFakeHub()
	kept := hub.clusters
	move := func(elsewhere bool) func() {
		return func() {
			hub.mu.Lock()
			defer hub.mu.Unlock()
			if hub.elsewhere = elsewhere; elsewhere {
				kept, hub.clusters = hub.clusters, map[string]hubapi.Cluster{}
			} else {
				hub.clusters = kept
			}
		}
	}
	config := settings{Count: 1}.hcl()
	other := regexp.MustCompile(`(?s)Unable to Read Cluster.*knows\s+neither.*other\s+records`)
	acc.UnitTest(t, acc.TestCase{
		ProtoV6ProviderFactories: factories(hub),
		Steps: []acc.TestStep{
			{Config: config},
			{PreConfig: move(true), Config: config, ExpectError: other},
			{PreConfig: move(false), Config: config, ConfigPlanChecks: acc.ConfigPlanChecks{
				PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
			}},
		},
	})
	if len(hub.clusters) > 0 {
		t.Errorf("destroy left %v", hub.clusters)
	}
}
