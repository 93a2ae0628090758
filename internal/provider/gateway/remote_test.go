package gateway_test

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestAccGatewayAndHub has a real hub and real gateways: a first replica whose key is vouched for, a second replica by the trigger's
// token, and a delete that is refused while the gateway is in use.
func TestAccGatewayAndHub(t *testing.T) {
	t.Parallel()
	env := acctest.NewRemote(t)
	config := func(more string) string {
		return env.ProviderConfig() + "resource \"palette_gateway\" \"this\" {\n  name = \"north\"\n  " + more + "\n}\n"
	}
	fingerprint := statecheck.CompareValue(compare.ValuesSame())
	account := env.AccountConfig()
	withAccount := regexp.MustCompile(`name += "lab"`).ReplaceAllString(account, "name = \"lab\"\n  gateway_id = palette_gateway.this.id\n"+
		"  gateway_key_fingerprint = palette_gateway.this.key_fingerprint")
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config: config(""), ConfigPlanChecks: created,
				Check: func(s *terraform.State) error {
					_, err := env.PairGateway("north-1", s.RootModule().Resources[address].Primary.Attributes["pairing_token"])
					return err
				},
			},
			{
				Config: config("wait_for_connection = true"), ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					value("status", knownvalue.StringExact("online")), value("version", knownvalue.StringExact("test")),
					fingerprint.AddStateValue(address, tfjsonpath.New("key_fingerprint")),
				},
			},
			{
				ResourceName: address, ImportState: true, ImportStateId: "north", ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"pairing_token", "pairing_expires_at", "install", "wait_for_connection", "replicas"},
			},
			{
				Config: config(`pairing_trigger = "2"`), ConfigPlanChecks: updated,
				Check: func(s *terraform.State) error {
					_, err := env.PairGateway("north-2", s.RootModule().Resources[address].Primary.Attributes["pairing_token"])
					return err
				},
			},
			// A used token is refused with the reason.
			{
				Config: config(`pairing_trigger = "2"`), ConfigPlanChecks: nothing,
				Check: func(s *terraform.State) error {
					_, err := env.PairGateway("north-3", s.RootModule().Resources[address].Primary.Attributes["pairing_token"])
					if err == nil {
						return errors.New("a token was used twice")
					}
					t.Log(err)
					return nil
				},
				ConfigStateChecks: []statecheck.StateCheck{
					fingerprint.AddStateValue(address, tfjsonpath.New("key_fingerprint")),
					value("replicas", knownvalue.ListExact([]knownvalue.Check{
						knownvalue.ObjectPartial(map[string]knownvalue.Check{"name": knownvalue.StringExact("north-1")}),
						knownvalue.ObjectPartial(map[string]knownvalue.Check{"name": knownvalue.StringExact("north-2")}),
					})),
				},
			},
			{
				Config: config(`pairing_trigger = "2"`) + withAccount,
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				},
			},
			{
				PreConfig: func() {
					g, err := env.Client().GatewayByName(t.Context(), "north")
					if err != nil {
						t.Fatal(err)
					}
					err = env.Client().DeleteGateway(t.Context(), g.ID)
					if !errors.Is(err, hubapi.ErrInUse) || !regexp.MustCompile(`"lab"`).MatchString(hubapi.AsProblem(err).Detail) {
						t.Errorf("deleting a gateway in use: %v", err)
					}
				},
				Config: config(`pairing_trigger = "2"`) + withAccount,
			},
		},
	})
}

// TestAccMoveBetweenGateways moves a cloud account, its address pool and its cluster to another gateway: no VM is touched, the
// plan afterwards is empty, and the cluster grows there while the gateway that it left is gone.
func TestAccMoveBetweenGateways(t *testing.T) {
	t.Parallel()
	env := acctest.NewRemote(t)
	north, south := env.AddGateway("north"), env.AddGateway("south")
	config := func(accountOn, poolOn *acctest.RemoteGateway, version, workers int) string {
		return env.ProviderConfig() + fmt.Sprintf(`
resource "palette_cloud_account" "this" {
  name                = "lab"
  gateway_id          = %q
  vcenter             = %q
  username            = %q
  password_wo         = %q
  password_wo_version = %d
  thumbprints         = [%q]
}
resource "palette_ip_pool" "nodes" {
  name       = "nodes"
  gateway_id = %q
  subnet     = "10.20.0.0/22"
  gateway    = "10.20.0.1"
  excluded   = ["10.20.3.200"]
}
resource "palette_vmware_cluster" "prod" {
  name                   = "prod"
  cloud_account_id       = palette_cloud_account.this.id
  kubernetes_version     = "v1.34.1"
  datacenter             = "dc-north"
  folder                 = "k8s/prod"
  template               = "ubuntu-2404-kube-v1.34.1"
  deletion_protection    = false
  control_plane_endpoint = { host = "10.20.3.200" }
  control_plane = {
    count      = 1
    cpu        = 2
    memory_mib = 4096
    disk_gib   = 20
    placements = [{ compute_cluster = "prod-a", datastore = "vsan-prod", networks = ["pg-k8s-120"], ip_pool_id = palette_ip_pool.nodes.id }]
  }
  worker_pools = {
    general = {
      count      = %d
      cpu        = 2
      memory_mib = 4096
      disk_gib   = 20
      placements = [{ compute_cluster = "prod-a", datastore = "vsan-prod", networks = ["pg-k8s-120"], ip_pool_id = palette_ip_pool.nodes.id }]
    }
  }
}
`, accountOn.ID, env.VCenter.Host(), env.VCenter.Username(), env.VCenter.Password(), version, env.VCenter.Thumbprint(), poolOn.ID, workers)
	}
	action := func(account, cluster plancheck.ResourceActionType) resource.ConfigPlanChecks {
		return resource.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction("palette_cloud_account.this", account),
				plancheck.ExpectResourceAction("palette_vmware_cluster.prod", cluster),
			},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		}
	}
	machines := statecheck.CompareValue(compare.ValuesSame())
	sameMachines := func() statecheck.StateCheck {
		return machines.AddStateValue("palette_vmware_cluster.prod", tfjsonpath.New("machines"))
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config: config(north, north, 1, 1), ConfigStateChecks: []statecheck.StateCheck{sameMachines()},
				ConfigPlanChecks: action(plancheck.ResourceActionCreate, plancheck.ResourceActionCreate),
			},
			{
				Config: config(south, north, 1, 1), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)Password Needed Again.*password_wo_version`),
			},
			{
				PreConfig:         env.VCenter.ResetCalls,
				Config:            config(south, south, 2, 1),
				ConfigPlanChecks:  action(plancheck.ResourceActionUpdate, plancheck.ResourceActionNoop),
				ConfigStateChecks: []statecheck.StateCheck{sameMachines()},
				Check: func(*terraform.State) error {
					for method, n := range env.VCenter.Calls() {
						if regexp.MustCompile(`_Task$`).MatchString(method) {
							return fmt.Errorf("the move made %d calls of %s", n, method)
						}
					}
					return nil
				},
			},
			// The gateway that was left is not needed any more.
			{
				PreConfig:        func() { env.StopGateway(north) },
				Config:           config(south, south, 2, 2),
				ConfigPlanChecks: action(plancheck.ResourceActionNoop, plancheck.ResourceActionUpdate),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectKnownValue("palette_vmware_cluster.prod", tfjsonpath.New("machines"), knownvalue.ListSizeExact(3)),
					statecheck.ExpectKnownValue("palette_ip_pool.nodes", tfjsonpath.New("used"), knownvalue.NotNull()),
				},
			},
			// Nor can anything move to one that is not there.
			{
				Config:      config(north, south, 3, 2),
				ExpectError: regexp.MustCompile(`(?s)Unable to Update Cloud Account.*north.*not\s+connected`),
			},
			{Config: config(south, south, 2, 2), ConfigPlanChecks: action(plancheck.ResourceActionNoop, plancheck.ResourceActionNoop)},
		},
	})
}
