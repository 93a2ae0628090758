package ippool_test

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

const address = "palette_ip_pool.this"

func config(env *acctest.Env, body string) string {
	return env.ProviderConfig() + "resource \"palette_ip_pool\" \"this\" {\n" + body + "\n}\n"
}

const subnet = `
  name         = "nodes"
  subnet       = "10.20.0.0/24"
  gateway      = "10.20.0.1"
  name_servers = ["10.20.0.2"]
`

var (
	empty   = []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}
	created = checks(plancheck.ResourceActionCreate)
	updated = checks(plancheck.ResourceActionUpdate)
)

// checks wants an action in the plan, and no further plan after the apply.
func checks(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)},
		PostApplyPostRefresh: empty,
	}
}

func number(name string, n int64) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New(name), knownvalue.Int64Exact(n))
}

func TestAccIPPool(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	sameID := statecheck.CompareValue(compare.ValuesSame())
	id := func() statecheck.StateCheck { return sameID.AddStateValue(address, tfjsonpath.New("id")) }
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		CheckDestroy: func(*terraform.State) error {
			for _, name := range []string{"nodes", "machines"} {
				if _, err := env.Client().IPPoolByName(t.Context(), name); !errors.Is(err, hubapi.ErrNotFound) {
					return fmt.Errorf("pool %s after destroy: %w", name, err)
				}
			}
			return nil
		},
		Steps: []resource.TestStep{
			{
				Config: config(env, subnet), ConfigPlanChecks: created,
				ConfigStateChecks: []statecheck.StateCheck{
					id(), number("prefix", 24), number("cooldown_seconds", 300), number("total", 253), number("used", 0), number("free", 253),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("gateway_id"), knownvalue.NotNull()),
				},
			},
			{ResourceName: address, ImportState: true, ImportStateVerify: true},
			{ResourceName: address, ImportState: true, ImportStateVerify: true, ImportStateId: "nodes"},
			{ResourceName: address, ImportState: true, ImportStateId: "nobody", ExpectError: regexp.MustCompile(`Not Found`)},
			{ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithID},
			{
				Config: config(env, `
  name             = "machines"
  subnet           = "10.20.0.0/25"
  prefix           = 24
  gateway          = "10.20.0.254"
  name_servers     = ["10.20.0.3", "10.20.0.2"]
  search_domains   = ["example.com"]
  excluded         = ["10.20.0.2-10.20.0.9", "10.20.0.64/26"]
  cooldown_seconds = 0
`),
				ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					id(), number("prefix", 24), number("cooldown_seconds", 0),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("name"), knownvalue.StringExact("machines")),
				},
			},
			{
				Config: config(env, `
  name   = "machines"
  prefix = 24
  ranges = [{ start = "10.20.0.10", end = "10.20.0.19" }, { start = "10.20.0.30", end = "10.20.0.30" }]
`),
				ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					id(), number("total", 11), number("cooldown_seconds", 300),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("subnet"), knownvalue.Null()),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("gateway"), knownvalue.Null()),
				},
			},
			{
				Config: config(env, `
  name           = "machines"
  subnet         = "fd00:20::/64"
  gateway        = "fd00:20::1"
  name_servers   = []
  search_domains = []
  excluded       = []
`),
				ConfigPlanChecks:  updated,
				ConfigStateChecks: []statecheck.StateCheck{id(), number("prefix", 64)},
			},
			{
				// Another spelling of addresses is an update that changes nothing.
				Config: config(env, `
  name    = "machines"
  subnet  = "fd00:0020::/64"
  gateway = "fd00:20:0::1"
`),
				ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: empty},
			},
		},
	})
}

func TestAccIPPoolDisappears(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{Config: config(env, subnet), ConfigPlanChecks: created},
			{
				PreConfig: func() {
					pool, err := env.Client().IPPoolByName(t.Context(), "nodes")
					if err != nil {
						t.Fatal(err)
					}
					if err := env.Client().DeleteIPPool(t.Context(), pool.ID); err != nil {
						t.Fatal(err)
					}
				},
				Config: config(env, subnet), ConfigPlanChecks: created,
			},
		},
	})
}

// TestAccIPPoolPlanErrors checks that what the hub would refuse is an error on the attribute at plan.
func TestAccIPPoolPlanErrors(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	base := config(env, subnet)
	other := func(body string) string {
		return base + "resource \"palette_ip_pool\" \"other\" {\n" + body + "\n}\n"
	}
	cases := []struct{ reason, config, want string }{
		{
			reason: "an overlap with another pool names it",
			config: other("  name = \"other\"\n  subnet = \"10.20.0.128/25\""),
			want:   `(?s)nodes.*subnet = "10.20.0.128/25"`,
		},
		{
			reason: "a gateway lies in the subnet",
			config: other("  name = \"other\"\n  subnet = \"10.30.0.0/24\"\n  gateway = \"10.31.0.1\""),
			want:   `(?s)gateway 10\.31\.0\.1 is outside.*gateway\s+= "10.31.0.1"`,
		},
		{
			reason: "a name that is taken is an error on it",
			config: other("  name = \"nodes\"\n  subnet = \"10.30.0.0/24\""),
			want:   `(?s)name\s+= "nodes"`,
		},
		{
			reason: "a range that ends before it starts is an error on it",
			config: other("  name = \"other\"\n  prefix = 24\n  ranges = [{ start = \"10.30.0.9\", end = \"10.30.0.1\" }]"),
			want:   `(?s)The end 10.30.0.1 is before.*ranges\[0\]\.end`,
		},
		{
			reason: "addresses of two families are an error",
			config: other("  name = \"other\"\n  subnet = \"10.30.0.0/24\"\n  gateway = \"fd00::1\""),
			want:   `(?s)gateway\s+= "fd00::1"`,
		},
	}
	steps := []resource.TestStep{{Config: base, ConfigPlanChecks: created}}
	for _, tc := range cases {
		t.Log(tc.reason)
		steps = append(steps, resource.TestStep{Config: tc.config, PlanOnly: true, ExpectError: regexp.MustCompile(tc.want)})
	}
	steps = append(steps,
		resource.TestStep{Config: base, ConfigPlanChecks: checks(plancheck.ResourceActionNoop)},
		resource.TestStep{ // Two that are both new: the hub knows neither of them yet.
			Config: other("  name = \"other\"\n  subnet = \"10.40.0.0/24\"") +
				"resource \"palette_ip_pool\" \"third\" {\n  name = \"third\"\n  subnet = \"10.40.0.128/25\"\n}\n",
			PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)Overlaps with address pool "(third|other)".*10\.40\.0\.129`),
		},
		resource.TestStep{ // What was planned once is forgotten with that plan.
			Config:             base + "resource \"palette_ip_pool\" \"fourth\" {\n  name = \"fourth\"\n  subnet = \"10.40.0.0/24\"\n}\n",
			PlanOnly:           true,
			ExpectNonEmptyPlan: true,
		})
	resource.UnitTest(t, resource.TestCase{ProtoV6ProviderFactories: env.ProviderFactories, Steps: steps})
}

func TestAccIPPoolInvalid(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	const (
		subnet = "subnet = \"10.0.0.0/24\"\n"
		ranges = "ranges = [{ start = \"10.0.0.1\", end = \"10.0.0.2\" }]\n"
	)
	cases := map[string]struct{ reason, name, body, want string }{
		"Neither":   {"Addresses come from somewhere.", "a", ``, `Missing Attribute Configuration`},
		"Both":      {"They come from one place.", "a", subnet + ranges + `prefix = 24`, `Invalid Attribute Combination`},
		"NoPrefix":  {"Ranges tell no prefix.", "a", ranges, `Missing Prefix`},
		"HostBits":  {"Host bits are more likely a mistake.", "a", `subnet = "10.0.0.1/24"`, `10\.0\.0\.0/24`},
		"Address":   {"An address has a form.", "a", subnet + `gateway = "gw"`, `(?s)gateway = "gw"`},
		"Excluded":  {"An excluded set has a form.", "a", subnet + `excluded = ["x"]`, `Invalid Address Set`},
		"NoRange":   {"An empty list has no address.", "a", "prefix = 24\nranges = []", `at least 1`},
		"Name":      {"A name is a DNS label.", "A B", subnet, `Invalid Name`},
		"Prefix":    {"A prefix has a length.", "a", subnet + `prefix = 200`, `between 1 and 128`},
		"GatewayID": {"The alias is no id.", "a", subnet + `gateway_id = "system"`, `Invalid Gateway Id`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: env.ProviderFactories,
				Steps: []resource.TestStep{{
					Config: config(env, fmt.Sprintf("name = %q\n%s", tc.name, tc.body)), PlanOnly: true, ExpectError: regexp.MustCompile(tc.want),
				}},
			})
		})
	}
}

func TestAccIPPoolUnknownInputs(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	late := `
resource "terraform_data" "late" {
  input = { name = "nodes", subnet = "10.20.0.0/24", gateway = "10.20.0.1", server = "10.20.0.2", cooldown = 60 }
}
`
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{{
			Config: late + config(env, `
  name             = terraform_data.late.output.name
  subnet           = terraform_data.late.output.subnet
  gateway          = terraform_data.late.output.gateway
  name_servers     = [terraform_data.late.output.server]
  excluded         = ["${terraform_data.late.output.server}-10.20.0.9"]
  cooldown_seconds = terraform_data.late.output.cooldown
`),
			ConfigPlanChecks:  created,
			ConfigStateChecks: []statecheck.StateCheck{number("prefix", 24), number("total", 245), number("cooldown_seconds", 60)},
		}},
	})
}
