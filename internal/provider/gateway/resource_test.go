package gateway_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"
	"github.com/hashicorp/terraform-plugin-testing/tfversion"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

const address = "palette_gateway.this"

// A variable that names a missing file makes OpenTofu fail in ways nobody understands.
func TestMain(m *testing.M) {
	_ = os.Unsetenv("TF_CLI_CONFIG_FILE")
	os.Exit(m.Run())
}

// config is a gateway named north with more attributes.
func (h *fakeHub) config(more ...string) string {
	return h.providerConfig() + "resource \"palette_gateway\" \"this\" {\n  name = \"north\"\n  " +
		strings.Join(more, "\n  ") + "\n}\n"
}

func value(name string, check knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New(name), check)
}

// checks wants an action in the plan, and no further plan after the apply.
func checks(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)},
		PostApplyPostRefresh: []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()},
	}
}

var (
	created = checks(plancheck.ResourceActionCreate)
	updated = checks(plancheck.ResourceActionUpdate)
	nothing = checks(plancheck.ResourceActionNoop)
)

func (h *fakeHub) token() statecheck.StateCheck {
	return value("pairing_token", knownvalue.StringFunc(h.usable))
}

func TestAccGateway(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	sameID, sameToken := statecheck.CompareValue(compare.ValuesSame()), statecheck.CompareValue(compare.ValuesSame())
	newToken := statecheck.CompareValue(compare.ValuesDiffer())
	of := func(c interface {
		AddStateValue(address string, path tfjsonpath.Path) statecheck.StateCheck
	}, name string,
	) statecheck.StateCheck {
		return c.AddStateValue(address, tfjsonpath.New(name))
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		CheckDestroy: func(*terraform.State) error {
			hub.mu.Lock()
			defer hub.mu.Unlock()
			if len(hub.gateways) > 0 {
				return fmt.Errorf("%d gateways are left", len(hub.gateways))
			}
			return nil
		},
		Steps: []resource.TestStep{
			{
				Config: hub.config(), ConfigPlanChecks: created,
				ConfigStateChecks: []statecheck.StateCheck{
					of(sameID, "id"), of(sameToken, "pairing_token"), of(newToken, "pairing_token"), hub.token(),
					statecheck.ExpectSensitiveValue(address, tfjsonpath.New("pairing_token")),
					statecheck.ExpectSensitiveValue(address, tfjsonpath.New("install")),
					value("install", knownvalue.ObjectPartial(map[string]knownvalue.Check{
						"cloud_init":          knownvalue.StringRegexp(regexp.MustCompile(`(?s)^#cloud-config.*palette-pairing-1\.`)),
						"kubernetes_manifest": knownvalue.StringRegexp(regexp.MustCompile(`palette-pairing-1\.`)),
						"commands":            knownvalue.StringRegexp(regexp.MustCompile(regexp.QuoteMeta(hub.url + "/v1/downloads/gateway"))),
						"systemd_unit":        knownvalue.StringRegexp(regexp.MustCompile(`ExecStart=`)),
					})),
					value("status", knownvalue.StringExact("pending")), value("version", knownvalue.Null()),
					value("replicas", knownvalue.ListSizeExact(0)), value("public_key", knownvalue.Null()),
					value("key_fingerprint", knownvalue.Null()), value("labels", knownvalue.Null()),
					value("pairing_expires_at", knownvalue.StringRegexp(regexp.MustCompile(`^20\d\d-.*Z$`))),
				},
			},
			// A gateway that comes online, with two replicas, makes no plan.
			{
				PreConfig: func() {
					hub.connect("north", "gw-2", false)
					hub.connect("north", "gw-1", true)
				},
				Config: hub.config(), ConfigPlanChecks: nothing,
				ConfigStateChecks: []statecheck.StateCheck{
					of(sameToken, "pairing_token"), value("status", knownvalue.StringExact("online")),
					value("version", knownvalue.StringExact("1.2.3")),
					value("replicas", knownvalue.ListExact([]knownvalue.Check{
						knownvalue.ObjectExact(map[string]knownvalue.Check{
							"name": knownvalue.StringExact("gw-1"), "version": knownvalue.StringExact("1.2.3"),
							"holder": knownvalue.Bool(true), "connected_since": knownvalue.StringExact("2026-01-02T03:04:05Z"),
						}),
						knownvalue.ObjectPartial(map[string]knownvalue.Check{
							"name": knownvalue.StringExact("gw-2"), "holder": knownvalue.Bool(false),
						}),
					})),
					value("key_fingerprint", knownvalue.StringRegexp(regexp.MustCompile(`^sha256:[0-9a-f]{64}$`))),
				},
			},
			{
				ResourceName: address, ImportState: true, ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"pairing_token", "pairing_expires_at", "install"},
			},
			{
				ResourceName: address, ImportState: true, ImportStateId: "north", ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"pairing_token", "pairing_expires_at", "install"},
			},
			{ResourceName: address, ImportState: true, ImportStateId: "nobody", ExpectError: regexp.MustCompile(`Gateway Not Found`)},
			// Labels and recovery key change in place; the token stays.
			{
				Config:           hub.config(`labels = { site = "north" }`, `recovery_key = "cHVibGlj"`, `pairing_ttl = "2h"`),
				ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					of(sameID, "id"), of(sameToken, "pairing_token"), value("recovery_key", knownvalue.StringExact("cHVibGlj")),
					value("labels", knownvalue.MapExact(map[string]knownvalue.Check{"site": knownvalue.StringExact("north")})),
				},
			},
			// Another trigger makes another token.
			{
				Config:           hub.config(`labels = {}`, `pairing_trigger = "2"`),
				ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					of(sameID, "id"), of(newToken, "pairing_token"), hub.token(), value("recovery_key", knownvalue.Null()),
				},
			},
			{Config: hub.config(`pairing_trigger = "2"`), ConfigPlanChecks: updated},
		},
	})
}

func TestAccGatewayIdentity(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		TerraformVersionChecks:   []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_12_0)},
		Steps: []resource.TestStep{
			{Config: hub.config(), ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectIdentityValueMatchesState(address, tfjsonpath.New("id")),
			}},
			{
				ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity,
			},
		},
	})
}

func TestAccGatewayDisappears(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{Config: hub.config(), ConfigPlanChecks: created},
			{PreConfig: func() { hub.forget("north") }, Config: hub.config(), ConfigPlanChecks: created},
		},
	})
}

// TestAccGatewayWaits checks that create waits for the connection of a gateway that is paired meanwhile, and that a wait
// that is too short keeps gateway and token and is gone on with by the next apply.
func TestAccGatewayWaits(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	soon := func(g *hubapi.Gateway) {
		time.AfterFunc(500*time.Millisecond, func() {
			hub.mu.Lock()
			defer hub.mu.Unlock()
			connect(g, key, "gw-1", true)
		})
	}
	accepted := fmt.Sprintf("accept_key_fingerprint = %q", seal.Fingerprint(key.PublicKey()))
	wait := func(more ...string) string { return hub.config(append(more, "wait_for_connection = true")...) }
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{
				PreConfig: func() { hub.onPair = soon },
				Config:    wait(accepted), ConfigPlanChecks: created,
				ConfigStateChecks: []statecheck.StateCheck{
					value("status", knownvalue.StringExact("online")), value("key_fingerprint", knownvalue.NotNull()),
				},
			},
			{PreConfig: func() { hub.onPair = nil }, Config: hub.providerConfig(), Destroy: true},
		},
	})
	sameID := statecheck.CompareValue(compare.ValuesSame())
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			// The plan after a wait that was too short goes on waiting.
			{
				Config: wait(`timeouts = { create = "1s", update = "1s" }`), ExpectNonEmptyPlan: true,
				ConfigPlanChecks: resource.ConfigPlanChecks{
					PostApplyPostRefresh: []plancheck.PlanCheck{
						plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
						plancheck.ExpectUnknownValue(address, tfjsonpath.New("status")),
					},
				},
				ConfigStateChecks: []statecheck.StateCheck{
					sameID.AddStateValue(address, tfjsonpath.New("id")), value("status", knownvalue.StringExact("pending")), hub.token(),
				},
			},
			{
				Config:      wait(`timeouts = { create = "1s", update = "1s" }`),
				ExpectError: regexp.MustCompile(`(?s)Unable to Update Gateway.*timeout\s+passed.*No\s+process\s+has\s+been\s+paired`),
			},
			{
				PreConfig: func() { hub.connect("north", "gw-1", true) },
				Config:    wait(`timeouts = { create = "1s", update = "10s" }`), ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					sameID.AddStateValue(address, tfjsonpath.New("id")), value("status", knownvalue.StringExact("online")),
				},
			},
		},
	})
}

// TestAccGatewayKeyChange checks that another key is not believed until it is accepted by its fingerprint.
func TestAccGatewayKeyChange(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	another := seal.Fingerprint(key.PublicKey())
	sameKey, newKey := statecheck.CompareValue(compare.ValuesSame()), statecheck.CompareValue(compare.ValuesDiffer())
	fingerprint := tfjsonpath.New("key_fingerprint")
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{Config: hub.config(), ConfigPlanChecks: created, ConfigStateChecks: []statecheck.StateCheck{hub.token()}},
			{
				PreConfig: func() { hub.connect("north", "gw-1", true) },
				Config:    hub.config(), ConfigPlanChecks: nothing,
				ConfigStateChecks: []statecheck.StateCheck{sameKey.AddStateValue(address, fingerprint), newKey.AddStateValue(address, fingerprint)},
			},
			{
				PreConfig: func() { hub.setKey("north", key) },
				Config:    hub.config(), ExpectError: regexp.MustCompile(
					`(?s)Gateway Key Changed.*was\s+sha256:[0-9a-f]{64}\s+and\s+is\s+now\s+sha256:[0-9a-f]{64}.*accept_key_fingerprint`),
			},
			{
				Config: hub.config(fmt.Sprintf("accept_key_fingerprint = %q", another)), ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					newKey.AddStateValue(address, fingerprint), value("key_fingerprint", knownvalue.StringExact(another)),
				},
			},
			{Config: hub.config(), ConfigPlanChecks: updated},
		},
	})
}

// TestAccGatewayKeyNotVouchedFor has a hub that shows a key of its own as the first one: without a voucher, with one that it
// made itself, and with that of the real key. None is believed until it is accepted.
func TestAccGatewayKeyNotVouchedFor(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	hubs, another := seal.Fingerprint(key.PublicKey()), "sha256:"+strings.Repeat("0", 64)
	show := func(voucher func(hubapi.PairingToken) *hubapi.KeyVoucher) func() {
		return func() {
			hub.setKey("north", key)
			hub.mu.Lock()
			defer hub.mu.Unlock()
			g := hub.named("north")
			g.Status.Voucher = voucher(hub.tokens[g.ID])
		}
	}
	refused := regexp.MustCompile(`(?s)Gateway Key Not Vouched For.*accept_key_fingerprint`)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{Config: hub.config(), ConfigPlanChecks: created, ConfigStateChecks: []statecheck.StateCheck{hub.token()}},
			{
				PreConfig: show(func(hubapi.PairingToken) *hubapi.KeyVoucher { return nil }),
				Config:    hub.config(), ExpectError: refused,
			},
			{
				PreConfig: show(func(token hubapi.PairingToken) *hubapi.KeyVoucher {
					return &hubapi.KeyVoucher{Pairing: token.ID, MAC: token.Vouch([]byte("the real key"))}
				}),
				Config: hub.config(), ExpectError: refused,
			},
			{
				PreConfig: show(func(token hubapi.PairingToken) *hubapi.KeyVoucher {
					token.ID, token.Introduction = uuid.NewString(), hubapi.NewSecret()
					return &hubapi.KeyVoucher{Pairing: token.ID, MAC: token.Vouch(key.PublicKey())}
				}),
				Config: hub.config(), ExpectError: refused,
			},
			{Config: hub.config(fmt.Sprintf("accept_key_fingerprint = %q", another)), ExpectError: refused},
			{
				Config: hub.config(fmt.Sprintf("accept_key_fingerprint = %q", hubs)), ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{value("key_fingerprint", knownvalue.StringExact(hubs))},
			},
		},
	})
}

func TestAccGatewayRefusals(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	env := acctest.NewEmbedded(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(),
		Steps: []resource.TestStep{
			{Config: hub.config(`name_server = "x"`), PlanOnly: true, ExpectError: regexp.MustCompile(`Unsupported argument`)},
			{Config: hub.config(`pairing_ttl = "1d"`), PlanOnly: true, ExpectError: regexp.MustCompile(`Invalid Duration`)},
			{Config: hub.config(`pairing_ttl = "10s"`), PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)Invalid Duration.*it\s+is\s+10s`)},
			{Config: hub.config(`recovery_key = "%"`), PlanOnly: true, ExpectError: regexp.MustCompile(`Invalid Base64`)},
			{
				Config:   hub.config(`accept_key_fingerprint = "AA:BB"`),
				PlanOnly: true, ExpectError: regexp.MustCompile(`Invalid Fingerprint`),
			},
			// Values that are not known at plan are known at apply.
			{
				Config: "resource \"terraform_data\" \"x\" { input = \"7\" }\n" + hub.config(
					`labels = { rack = terraform_data.x.output }`, `pairing_trigger = terraform_data.x.output`),
				ConfigPlanChecks: created,
			},
			{
				PreConfig: func() { hub.inUse = `cloud account "lab"` },
				Config:    hub.providerConfig(), ExpectError: regexp.MustCompile(`(?s)Unable to Delete Gateway.*cloud\s+account\s+"lab".*in_use`),
			},
			{PreConfig: func() { hub.inUse = "" }, Config: hub.providerConfig()},
		},
	})
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{{
			Config:      env.ProviderConfig() + `resource "palette_gateway" "this" { name = "north" }`,
			ExpectError: regexp.MustCompile(`(?s)Gateway Needs a Hub.*system\s+gateway`),
		}},
	})
}
