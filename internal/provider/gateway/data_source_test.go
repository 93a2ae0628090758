package gateway_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/echoprovider"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

func dataValue(address, name string, check knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New(name), check)
}

func names(want ...string) knownvalue.Check {
	items := make([]knownvalue.Check, 0, len(want))
	for _, name := range want {
		items = append(items, knownvalue.ObjectPartial(map[string]knownvalue.Check{"name": knownvalue.StringExact(name)}))
	}
	return knownvalue.ListExact(items)
}

func TestAccGatewayDataSources(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	base := hub.config(`labels = { site = "north", tier = "prod" }`) + `
resource "palette_gateway" "south" {
  name   = "south"
  labels = { site = "south", tier = "prod" }
}
`
	read := base + `
data "palette_gateway" "by_id" { id = palette_gateway.this.id }
data "palette_gateway" "by_name" { name = palette_gateway.south.name }
data "palette_gateways" "all" { depends_on = [palette_gateway.this, palette_gateway.south] }
data "palette_gateways" "prod" {
  labels     = { tier = "prod" }
  depends_on = [palette_gateway.this, palette_gateway.south]
}
data "palette_gateways" "south" {
  labels     = { tier = "prod", site = "south" }
  name_regex = "^s"
  depends_on = [palette_gateway.this, palette_gateway.south]
}
data "palette_gateways" "none" {
  name_regex = "^th"
  depends_on = [palette_gateway.this, palette_gateway.south]
}
`
	const all = "data.palette_gateways.all"
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{
				Config: read,
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				},
				ConfigStateChecks: []statecheck.StateCheck{
					dataValue("data.palette_gateway.by_id", "name", knownvalue.StringExact("north")),
					dataValue("data.palette_gateway.by_id", "status", knownvalue.StringExact("pending")),
					dataValue("data.palette_gateway.by_id", "system", knownvalue.Bool(false)),
					dataValue("data.palette_gateway.by_name", "labels", knownvalue.MapPartial(map[string]knownvalue.Check{
						"site": knownvalue.StringExact("south"),
					})),
					dataValue(all, "gateways", names("north", "south")),
					dataValue("data.palette_gateways.prod", "gateways", names("north", "south")),
					dataValue("data.palette_gateways.south", "gateways", names("south")),
					dataValue("data.palette_gateways.none", "gateways", names()),
				},
			},
			{Config: base + `data "palette_gateway" "x" { name = "nobody" }`, ExpectError: regexp.MustCompile(`(?s)Unable to Read Gateway.*nobody`)},
			{Config: base + `data "palette_gateway" "x" {}`, ExpectError: regexp.MustCompile(`Missing Attribute Configuration`)},
			{Config: base + `data "palette_gateways" "x" { name_regex = "(" }`, ExpectError: regexp.MustCompile(`Invalid Regular Expression`)},
			{Config: base},
		},
	})
}

// TestAccGatewayDataSourceWaits starts a gateway after the resource that makes its token, in one apply: what uses the data
// source finds it online.
func TestAccGatewayDataSourceWaits(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	hub.onPair = func(g *hubapi.Gateway) {
		time.AfterFunc(time.Second, func() {
			hub.mu.Lock()
			defer hub.mu.Unlock()
			connect(g, key, "gw-1", true)
		})
	}
	online := func(limit, more string) string {
		return hub.config(fmt.Sprintf("accept_key_fingerprint = %q", seal.Fingerprint(key.PublicKey()))) + `
resource "terraform_data" "machine" { input = palette_gateway.this.pairing_token }
data "palette_gateway" "online" {
  id                  = palette_gateway.this.id
  wait_for_connection = true
  ` + more + `
  timeouts            = { read = "` + limit + `" }
  depends_on          = [terraform_data.machine]
}
resource "terraform_data" "user" { input = data.palette_gateway.online.key_fingerprint }
`
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{
				Config: online("30s", ""),
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
				},
				ConfigStateChecks: []statecheck.StateCheck{
					dataValue("data.palette_gateway.online", "status", knownvalue.StringExact("online")),
					dataValue("terraform_data.user", "output", knownvalue.StringRegexp(regexp.MustCompile(`^sha256:`))),
				},
			},
			{
				Config:      online("30s", "pairing_token = palette_gateway.this.pairing_token"),
				ExpectError: regexp.MustCompile(`Gateway Key Not Vouched For`),
			},
			{
				PreConfig: func() {
					hub.mu.Lock()
					defer hub.mu.Unlock()
					hub.named("north").Status.State = hubapi.GatewayOffline
				},
				Config: online("1s", ""), ExpectError: regexp.MustCompile(`(?s)Gateway Is Not Online.*timeout\s+passed.*no\s+replica\s+is\s+connected`),
			},
		},
	})
}

// TestAccGatewaySystem reads the gateway beside the hub in embedded mode.
func TestAccGatewaySystem(t *testing.T) {
	t.Parallel()
	env := acctest.NewEmbedded(t)
	const system = "data.palette_gateway.system"
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{{
			Config: env.ProviderConfig() + `
data "palette_gateway" "system" { name = "system" }
data "palette_gateway" "same" { id = "system" }
data "palette_gateways" "all" {}
`,
			ConfigStateChecks: []statecheck.StateCheck{
				dataValue(system, "system", knownvalue.Bool(true)), dataValue(system, "status", knownvalue.StringExact("online")),
				dataValue(system, "name", knownvalue.StringExact("system")),
				dataValue("data.palette_gateway.same", "name", knownvalue.StringExact("system")),
				dataValue("data.palette_gateways.all", "gateways", names("system")),
			},
		}},
	})
}

func TestAccGatewayPairingToken(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	factories := factories()
	factories["echo"] = echoprovider.NewProviderServer()
	config := func(arguments string) string {
		return hub.config() + `
ephemeral "palette_gateway_pairing_token" "this" {
  gateway_id    = palette_gateway.this.id
  pairing_token = palette_gateway.this.pairing_token
  ` + arguments + `
}
provider "echo" { data = ephemeral.palette_gateway_pairing_token.this }
resource "echo" "this" {}
`
	}
	echoed := func(name string, check knownvalue.Check) statecheck.StateCheck {
		return statecheck.ExpectKnownValue("echo.this", tfjsonpath.New("data").AtMapKey(name), check)
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories,
		Steps: []resource.TestStep{
			{
				Config: config(`ttl = "10m"`),
				ConfigStateChecks: []statecheck.StateCheck{
					echoed("token", knownvalue.StringFunc(hub.usable)), echoed("expires_at", knownvalue.NotNull()),
				},
			},
			{Config: config(`ttl = "1y"`), ExpectError: regexp.MustCompile(`Invalid Duration`)},
			{
				PreConfig: func() { hub.connect("north", "gw-1", true) },
				Config:    config(`key_fingerprint = "sha256:` + "0000000000000000000000000000000000000000000000000000000000000000" + `"`),
				ExpectError: regexp.MustCompile(
					`(?s)Unable to Open Pairing Token.*was\s+sha256:0+\s+and\s+is\s+now`),
			},
			{Config: config("")},
		},
	})
}
