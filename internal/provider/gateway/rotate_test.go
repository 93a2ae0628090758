package gateway_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
)

// TestAccRotateKey rotates the key of a gateway at a real hub. The new key is believed without a word; an account that names
// the gateway's key follows it with its next password, and one that names none goes on with the key it was sealed to.
func TestAccRotateKey(t *testing.T) {
	t.Parallel()
	env := acctest.NewRemote(t)
	account := func(name, more string, version int) string {
		text := regexp.MustCompile(`name += "lab"`).ReplaceAllString(env.AccountConfig(),
			fmt.Sprintf("name = %q\n  gateway_id = palette_gateway.this.id\n  %s", name, more))
		text = regexp.MustCompile(`password_wo_version = 1`).ReplaceAllString(text, fmt.Sprintf("password_wo_version = %d", version))
		return regexp.MustCompile(`"this"`).ReplaceAllString(text, fmt.Sprintf("%q", name))
	}
	config := func(version int) string {
		return env.ProviderConfig() + "resource \"palette_gateway\" \"this\" {\n  name = \"north\"\n  wait_for_connection = true\n}\n" +
			account("follows", "gateway_key_fingerprint = palette_gateway.this.key_fingerprint", version) + account("stays", "", version)
	}
	alone := env.ProviderConfig() + "resource \"palette_gateway\" \"this\" {\n  name = \"north\"\n}\n"
	fingerprint := statecheck.CompareValue(compare.ValuesDiffer())
	named := func() statecheck.StateCheck {
		return statecheck.CompareValuePairs(address, tfjsonpath.New("key_fingerprint"),
			"palette_cloud_account.follows", tfjsonpath.New("gateway_key_fingerprint"), compare.ValuesSame())
	}
	actions := func(gateway, follows, stays plancheck.ResourceActionType) resource.ConfigPlanChecks {
		return resource.ConfigPlanChecks{
			PreApply: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, gateway),
				plancheck.ExpectResourceAction("palette_cloud_account.follows", follows),
				plancheck.ExpectResourceAction("palette_cloud_account.stays", stays),
			},
			PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
		}
	}
	const create, update, noop = plancheck.ResourceActionCreate, plancheck.ResourceActionUpdate, plancheck.ResourceActionNoop
	var gateway *acctest.RemoteGateway
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config: alone,
				Check: func(s *terraform.State) (err error) {
					gateway, err = env.PairGateway("north-1", s.RootModule().Resources[address].Primary.Attributes["pairing_token"])
					return err
				},
			},
			{
				Config: config(1), ConfigPlanChecks: actions(update, create, create),
				ConfigStateChecks: []statecheck.StateCheck{fingerprint.AddStateValue(address, tfjsonpath.New("key_fingerprint")), named()},
			},
			{
				PreConfig: func() { env.RotateKey(gateway) },
				Config:    config(1), ConfigPlanChecks: actions(noop, update, noop),
				ConfigStateChecks: []statecheck.StateCheck{fingerprint.AddStateValue(address, tfjsonpath.New("key_fingerprint")), named()},
			},
			{Config: config(2), ConfigPlanChecks: actions(noop, update, update)},
			// What Terraform remembers of the key is of use the next time too.
			{
				PreConfig: func() { env.RotateKey(gateway) },
				Config:    config(3), ConfigPlanChecks: actions(noop, update, update),
				ConfigStateChecks: []statecheck.StateCheck{fingerprint.AddStateValue(address, tfjsonpath.New("key_fingerprint")), named()},
			},
		},
	})
}
