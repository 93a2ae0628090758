package inventory_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func read(kind, name, arguments string) string {
	return `
data "palette_` + kind + `" "` + name + `" {
  cloud_account_id = palette_cloud_account.this.id
` + arguments + `
}
`
}

// has checks values of one entry of a list.
func has(address, list string, index int, values map[string]knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New(list).AtSliceIndex(index), knownvalue.ObjectPartial(values))
}

func count(address, list string, n int) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New(list), knownvalue.ListSizeExact(n))
}

// paths checks the paths of a list, in order.
func paths(address, list string, want ...string) []statecheck.StateCheck {
	checks := []statecheck.StateCheck{count(address, list, len(want))}
	for i, p := range want {
		checks = append(checks, has(address, list, i, map[string]knownvalue.Check{
			"path": knownvalue.StringExact(p),
			"name": knownvalue.StringExact(p[strings.LastIndex(p, "/")+1:]),
			"moid": knownvalue.StringRegexp(regexp.MustCompile(`^[a-z0-9-]+$`)),
		}))
	}
	return checks
}

func texts(values ...string) knownvalue.Check {
	checks := make([]knownvalue.Check, 0, len(values))
	for _, v := range values {
		checks = append(checks, knownvalue.StringExact(v))
	}
	return knownvalue.ListExact(checks)
}

var (
	unchanged = resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
	yes, no   = knownvalue.Bool(true), knownvalue.Bool(false)
	text      = knownvalue.StringExact
	number    = knownvalue.Int64Exact
)

func TestAccInventory(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	const (
		datacenters = "data.palette_datacenters.all"
		clusters    = "data.palette_compute_clusters.all"
		datastores  = "data.palette_datastores.all"
		networks    = "data.palette_networks.all"
		pools       = "data.palette_resource_pools.all"
		folders     = "data.palette_folders.all"
		templates   = "data.palette_templates.all"
	)
	checks := paths(datacenters, "datacenters", "/dc-north", "/dc-south")
	checks = append(checks, paths(clusters, "compute_clusters",
		testkit.ClusterEdge, testkit.ClusterProdA, testkit.ClusterProdB, testkit.ClusterDRA)...)
	checks = append(checks,
		has(clusters, "compute_clusters", 0, map[string]knownvalue.Check{
			"datacenter": text("dc-north"), "drs_enabled": no, "ha_enabled": no, "zone": knownvalue.Null(), "region": text("region-north"),
		}),
		has(clusters, "compute_clusters", 1, map[string]knownvalue.Check{
			"hosts":        texts("esx-a1.north.example", "esx-a2.north.example", "esx-a3.north.example"),
			"hosts_usable": number(3), "cpu_cores": number(96), "memory_mib": number(3 * 256 * 1024),
			"drs_enabled": yes, "ha_enabled": yes, "zone": text("zone-a"), "region": text("region-north"),
		}))
	checks = append(checks, paths(datastores, "datastores",
		testkit.DatastoreEdge, testkit.DatastoreNFS, testkit.DatastoreVMFSA, testkit.DatastoreVMFSB, testkit.DatastoreVSAN,
		testkit.DatastoreDR)...)
	checks = append(checks,
		has(datastores, "datastores", 2, map[string]knownvalue.Check{
			"type": text("VMFS"), "capacity_gib": number(2048), "accessible": yes, "maintenance_mode": text("normal"),
			"datastore_cluster": text("vmfs-pod"), "accessible_from": texts(testkit.ClusterProdA),
			"hosts": texts("esx-a1.north.example", "esx-a2.north.example", "esx-a3.north.example"),
		}),
		has(datastores, "datastores", 4, map[string]knownvalue.Check{
			"type": text("vsan"), "datastore_cluster": knownvalue.Null(),
			"accessible_from": texts(testkit.ClusterProdA, testkit.ClusterProdB),
		}))
	checks = append(checks, paths(networks, "networks",
		testkit.NetworkStandard, testkit.NetworkOpaque, testkit.NetworkNSX, testkit.NetworkK8s120, testkit.NetworkK8s121,
		testkit.NetworkTrunk, testkit.NetworkDR)...)
	checks = append(checks,
		has(networks, "networks", 0, map[string]knownvalue.Check{"kind": text("standard"), "switch": knownvalue.Null()}),
		has(networks, "networks", 1, map[string]knownvalue.Check{"kind": text("opaque")}),
		has(networks, "networks", 2, map[string]knownvalue.Check{"kind": text("nsx")}),
		has(networks, "networks", 3, map[string]knownvalue.Check{
			"kind": text("distributed"), "vlan": text("120"), "switch": text("dvs-north"),
		}),
		has(networks, "networks", 5, map[string]knownvalue.Check{"vlan": text("100-199,300")}))
	checks = append(checks, paths(pools, "resource_pools",
		testkit.ClusterProdA+"/Resources", testkit.PoolK8s, testkit.PoolBatch)...)
	checks = append(checks,
		has(pools, "resource_pools", 2, map[string]knownvalue.Check{"compute_cluster": text("prod-a")}))
	checks = append(checks, paths(folders, "folders",
		testkit.FolderK8s, "/dc-north/vm/legacy", testkit.FolderLegacy, testkit.FolderTemplates)...)
	checks = append(checks, paths(templates, "templates",
		testkit.TemplateRocky, testkit.Template133, testkit.Template134, testkit.Template134NoSnapshot, testkit.TemplateWindows,
		testkit.TemplateDR)...)
	checks = append(checks,
		has(templates, "templates", 0, map[string]knownvalue.Check{"kubernetes_version": text("v1.32.8")}),
		has(templates, "templates", 2, map[string]knownvalue.Check{
			"kubernetes_version": text("v1.34.1"), "snapshot": text(testkit.TemplateSnapshot), "datastores": texts("vsan-prod"),
			"hardware_version": knownvalue.StringRegexp(regexp.MustCompile(`^vmx-\d+$`)), "guest_id": knownvalue.NotNull(),
			"disks": knownvalue.ListPartial(map[int]knownvalue.Check{0: knownvalue.ObjectPartial(map[string]knownvalue.Check{
				"capacity_gib": number(testkit.TemplateDiskGiB),
			})}),
		}),
		has(templates, "templates", 3, map[string]knownvalue.Check{"snapshot": knownvalue.Null()}),
		has(templates, "templates", 4, map[string]knownvalue.Check{"kubernetes_version": knownvalue.Null()}))

	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{{
			Config: env.ProviderConfig() + env.AccountConfig() + read("datacenters", "all", "") + read("compute_clusters", "all", "") +
				read("datastores", "all", "") + read("networks", "all", "") +
				read("resource_pools", "all", `compute_cluster = "prod-a"`) + read("folders", "all", `datacenter = "dc-north"`) +
				read("templates", "all", ""),
			ConfigStateChecks: checks,
			ConfigPlanChecks:  unchanged,
		}},
	})
}

func TestAccFilters(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	type question struct {
		kind, name, arguments string
		want                  []string
	}
	questions := []question{
		{"datacenters", "regex", `name_regex = "south$"`, []string{"/dc-south"}},
		{"compute_clusters", "place", `datacenter = "/dc-south"`, []string{testkit.ClusterDRA}},
		{"compute_clusters", "regex", `name_regex = "^prod-"`, []string{testkit.ClusterProdA, testkit.ClusterProdB}},
		{"datastores", "type", `type = "vmfs"
  datacenter = "dc-north"`, []string{testkit.DatastoreEdge, testkit.DatastoreVMFSA, testkit.DatastoreVMFSB}},
		{"datastores", "free", `min_free_gib = 5000`, []string{testkit.DatastoreVSAN, testkit.DatastoreDR}},
		{
			"datastores", "from", `accessible_from = "prod-b"`,
			[]string{testkit.DatastoreNFS, testkit.DatastoreVMFSB, testkit.DatastoreVSAN},
		},
		{"datastores", "none", `min_free_gib = 1000000`, nil},
		{"networks", "kind", `kind = "distributed"`, []string{
			testkit.NetworkK8s120, testkit.NetworkK8s121, testkit.NetworkTrunk,
		}},
		{"networks", "place", `compute_cluster = "dr-a"`, []string{testkit.NetworkDR}},
		{"resource_pools", "regex", `name_regex = "batch"`, []string{testkit.PoolBatch}},
		{"folders", "place", `datacenter = "dc-south"`, []string{"/dc-south/vm/templates"}},
		{"templates", "full", `kubernetes_version = "v1.33.5"`, []string{testkit.Template133}},
		{"templates", "minor", `kubernetes_version = "1.34"
  datacenter = "dc-north"`, []string{testkit.Template134, testkit.Template134NoSnapshot}},
		{"templates", "none", `kubernetes_version = "v1.35"`, nil},
	}
	config := env.ProviderConfig() + env.AccountConfig()
	var checks []statecheck.StateCheck
	for _, q := range questions {
		config += read(q.kind, q.name, "  "+q.arguments)
		checks = append(checks, paths("data.palette_"+q.kind+"."+q.name, q.kind, q.want...)...)
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps:                    []resource.TestStep{{Config: config, ConfigStateChecks: checks, ConfigPlanChecks: unchanged}},
	})
}

func TestAccInventoryErrors(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	cases := []struct {
		reason, kind, arguments, want string
	}{
		{
			reason: "an expression that does not compile is refused on its attribute, before anything is asked",
			kind:   "datastores", arguments: `name_regex = "("`, want: `(?s)Invalid Regular Expression.*name_regex = "\("`,
		},
		{
			reason: "an unknown datacenter is an error on its attribute with the names that there are",
			kind:   "datastores", arguments: `datacenter = "dc-nort"`, want: `(?s)Unable to Read.*datacenter = "dc-nort".*dc-north`,
		},
		{
			reason: "an unknown compute cluster is an error on its attribute with the names that there are",
			kind:   "networks", arguments: `compute_cluster = "prod-c"`, want: `(?s)compute_cluster = "prod-c".*prod-a.*prod-b`,
		},
		{
			reason: "so is one that datastores are to be reached from, and no empty list",
			kind:   "datastores", arguments: `accessible_from = "prod-bb"`,
			want: `(?s)accessible_from = "prod-bb".*prod-b`,
		},
		{
			reason: "a kind of network that does not exist is refused",
			kind:   "networks", arguments: `kind = "vlan"`, want: `(?s)kind = "vlan".*"standard"`,
		},
		{
			reason: "a version that is none is refused",
			kind:   "templates", arguments: `kubernetes_version = "latest"`, want: `Invalid Kubernetes Version`,
		},
		{
			reason: "less than nothing cannot be free",
			kind:   "datastores", arguments: `min_free_gib = -1`, want: `(?s)min_free_gib = -1.*at least 0`,
		},
	}
	base := env.ProviderConfig() + env.AccountConfig()
	steps := []resource.TestStep{{Config: base, ConfigPlanChecks: unchanged}}
	for _, tc := range cases {
		t.Log(tc.reason)
		steps = append(steps, resource.TestStep{
			Config: base + read(tc.kind, "wrong", "  "+tc.arguments), ExpectError: regexp.MustCompile(tc.want),
		})
	}
	steps = append(steps, resource.TestStep{
		Config: env.ProviderConfig() + `
data "palette_folders" "nobody" {
  cloud_account_id = "6f1e6b0e-7d3e-4b8b-9f43-0c8f3f1f6c3a"
}`,
		ExpectError: regexp.MustCompile(`(?s)Unable to Read.*not_found`),
	})
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: env.ProviderFactories, Steps: steps})
}

// TestAccUnknownInputs checks that filters that are known at apply only are no error at plan.
func TestAccUnknownInputs(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{{
			Config: env.ProviderConfig() + env.AccountConfig() + `
resource "terraform_data" "late" {
  input = { regex = "^vsan", free = 1, type = "vsan", from = "prod-a", datacenter = "dc-north", version = "v1.33" }
}
` + read("datastores", "late", `
  name_regex      = terraform_data.late.output.regex
  min_free_gib    = terraform_data.late.output.free
  type            = terraform_data.late.output.type
  accessible_from = terraform_data.late.output.from
  datacenter      = terraform_data.late.output.datacenter
`) + read("templates", "late", "  kubernetes_version = terraform_data.late.output.version"),
			ConfigStateChecks: append(
				paths("data.palette_datastores.late", "datastores", testkit.DatastoreVSAN),
				paths("data.palette_templates.late", "templates", testkit.Template133)...),
			ConfigPlanChecks: unchanged,
		}},
	})
}
