package vmwarecluster_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
)

// These tests apply configurations with the real CLI through provider, hub and gateway to a simulated vCenter whose guests
// boot with what they are given.

const address = "palette_vmware_cluster.prod"

// notImported are attributes that only Terraform knows.
var notImported = []string{"planned_operations", "deletion_protection", "on_create_timeout", "timeouts"}

// pool is a pool of the configuration.
type pool struct {
	Count, CPU, Memory, Disk int
	// Extra are more attributes.
	Extra string
}

// scene is the configuration of a test.
type scene struct {
	Version, Template string
	Static            bool
	Cluster           string
	Datastore         string
	Network           string
	Addresses         string
	ControlPlane      pool
	Workers           map[string]pool
	// Top are more attributes of the cluster.
	Top       string
	Protected bool
}

func newScene(workers int) scene {
	return scene{
		Version: "v1.34.1", Template: "ubuntu-2404-kube-v1.34.1", Cluster: "prod-a", Datastore: "vsan-prod",
		Network: "pg-k8s-120", Addresses: "10.20.120.20-10.20.120.39",
		ControlPlane: pool{Count: 1, CPU: 2, Memory: 4096, Disk: 20},
		Workers:      map[string]pool{"general": {Count: workers, CPU: 2, Memory: 4096, Disk: 20}},
		// A test that hangs says where.
		Top: `on_create_timeout = "fail"
  timeouts = { create = "60s", update = "60s", delete = "60s" }`,
	}
}

func (s scene) with(change func(s *scene)) scene {
	s.Workers = maps.Clone(s.Workers)
	change(&s)
	return s
}

func (s scene) pool(p pool) string {
	static := ""
	if s.Static {
		static = ", ip_pool_id = palette_ip_pool.nodes.id"
	}
	return fmt.Sprintf(`{
    count      = %d
    cpu        = %d
    memory_mib = %d
    disk_gib   = %d
    placements = [{ compute_cluster = %q, datastore = %q, networks = [%q]%s }]
    %s
  }`, p.Count, p.CPU, p.Memory, p.Disk, s.Cluster, s.Datastore, s.Network, static, p.Extra)
}

func (s scene) hcl(env *acctest.Env) string {
	var b strings.Builder
	b.WriteString(env.ProviderConfig() + env.AccountConfig())
	if s.Static {
		first, last, _ := strings.Cut(s.Addresses, "-")
		fmt.Fprintf(&b, `
resource "palette_ip_pool" "nodes" {
  name             = "nodes"
  ranges           = [{ start = %q, end = %q }]
  prefix           = 24
  gateway          = "10.20.120.1"
  name_servers     = ["10.20.0.2"]
  cooldown_seconds = 0
}
`, first, last)
	}
	fmt.Fprintf(&b, `
resource "palette_vmware_cluster" "prod" {
  name                   = "prod"
  cloud_account_id       = palette_cloud_account.this.id
  kubernetes_version     = %q
  datacenter             = "dc-north"
  folder                 = "k8s/prod"
  template               = %q
  control_plane_endpoint = { host = "10.20.120.10" }
  deletion_protection    = %t
  control_plane          = %s
  worker_pools = {
`, s.Version, s.Template, s.Protected, s.pool(s.ControlPlane))
	names := []string{}
	for name := range s.Workers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %q = %s\n", name, s.pool(s.Workers[name]))
	}
	fmt.Fprintf(&b, "  }\n%s\n}\n", s.Top)
	return b.String()
}

// plans asserts what a plan says: a regular expression for each line.
func plans(action plancheck.ResourceActionType, lines ...string) resource.ConfigPlanChecks {
	checks := []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)}
	if len(lines) > 0 {
		var list []knownvalue.Check
		for _, line := range lines {
			list = append(list, knownvalue.StringRegexp(regexp.MustCompile(line)))
		}
		checks = append(checks, plancheck.ExpectKnownValue(address, tfjsonpath.New("planned_operations"), knownvalue.ListExact(list)))
	}
	return resource.ConfigPlanChecks{PreApply: checks, PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}}
}

func ready(machines int) []statecheck.StateCheck {
	return []statecheck.StateCheck{
		statecheck.ExpectKnownValue(address, tfjsonpath.New("ready"), knownvalue.Bool(true)),
		statecheck.ExpectKnownValue(address, tfjsonpath.New("phase"), knownvalue.StringExact("Ready")),
		statecheck.ExpectKnownValue(address, tfjsonpath.New("machines"), knownvalue.ListSizeExact(machines)),
	}
}

// machines asserts which VMs are in the cluster's folder.
func machines(env *acctest.Env, want ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		var got []string
		for _, path := range env.VCenter.VMs() {
			if name, ok := strings.CutPrefix(path, "/dc-north/vm/k8s/prod/"); ok {
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("machines: -want +got:\n%s", diff)
		}
		if violations := env.VCenter.Violations(); len(violations) > 0 {
			return fmt.Errorf("guests: %s", strings.Join(violations, "\n"))
		}
		return nil
	}
}

// nothingLeft asserts that only what was there before is there.
func nothingLeft(env *acctest.Env) resource.TestCheckFunc {
	before := env.VCenter.VMs()
	return func(*terraform.State) error {
		if diff := cmp.Diff(before, env.VCenter.VMs()); diff != "" {
			return fmt.Errorf("destroy left or took VMs: -want +got:\n%s", diff)
		}
		return nil
	}
}

func run(t *testing.T, env *acctest.Env, steps ...resource.TestStep) {
	t.Helper()
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		CheckDestroy:             nothingLeft(env),
		Steps:                    steps,
	})
}

func TestAccClusterDHCP(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(2)
	run(t, env,
		resource.TestStep{
			Config: s.hcl(env), ConfigStateChecks: ready(3), Check: machines(env, "prod-cp-0", "prod-general-0", "prod-general-1"),
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}},
		},
		resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateVerify: true,
			ImportStateVerifyIgnore: notImported,
		},
		resource.TestStep{
			ResourceName: address, ImportState: true, ImportStateId: "prod", ImportStateVerify: true,
			ImportStateVerifyIgnore: notImported,
		},
	)
}
