package cloudaccount_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

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
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

const address = "palette_cloud_account.this"

// arguments are the attributes of an account, as they are written.
type arguments map[string]string

// config is an account with these attributes instead of the usual ones; an empty one is left out.
func config(env *acctest.Env, change arguments) string {
	attributes := arguments{
		"name":                `"lab"`,
		"vcenter":             fmt.Sprintf("%q", env.VCenter.Host()),
		"username":            fmt.Sprintf("%q", env.VCenter.Username()),
		"password_wo":         fmt.Sprintf("%q", env.VCenter.Password()),
		"password_wo_version": "1",
		"thumbprints":         fmt.Sprintf("[%q]", env.VCenter.Thumbprint()),
	}
	maps.Copy(attributes, change)
	text := env.ProviderConfig() + "\nresource \"palette_cloud_account\" \"this\" {\n"
	for name, value := range attributes {
		if value != "" {
			text += "  " + name + " = " + value + "\n"
		}
	}
	return text + "}\n"
}

func heredoc(text string) string { return "<<-EOT\n" + text + "\n  EOT" }

var (
	empty   = []plancheck.PlanCheck{plancheck.ExpectEmptyPlan()}
	created = checks(plancheck.ResourceActionCreate)
	updated = checks(plancheck.ResourceActionUpdate)
	nothing = checks(plancheck.ResourceActionNoop)
)

// checks wants an action in the plan, and no further plan after the apply.
func checks(action plancheck.ResourceActionType) resource.ConfigPlanChecks {
	return resource.ConfigPlanChecks{
		PreApply:             []plancheck.PlanCheck{plancheck.ExpectResourceAction(address, action)},
		PostApplyPostRefresh: empty,
	}
}

func value(name string, check knownvalue.Check) statecheck.StateCheck {
	return statecheck.ExpectKnownValue(address, tfjsonpath.New(name), check)
}

func TestAccCloudAccount(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	sameID := statecheck.CompareValue(compare.ValuesSame())
	id := func() statecheck.StateCheck { return sameID.AddStateValue(address, tfjsonpath.New("id")) }
	verify := `{ datacenter = "dc-north", compute_cluster = "prod-a", folder = "k8s", datastore = "vsan-prod", ` +
		`network = "pg-k8s-120", resource_pool = "k8s", templates_folder = "templates" }`
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		CheckDestroy:             gone(env),
		Steps: []resource.TestStep{
			{
				Config:           config(env, nil),
				ConfigPlanChecks: created,
				ConfigStateChecks: []statecheck.StateCheck{
					id(),
					value("gateway_id", knownvalue.StringFunc(isDefaultGateway(t, env))),
					value("password_wo", knownvalue.Null()),
					value("insecure", knownvalue.Bool(false)),
					value("vcenter_version", knownvalue.StringRegexp(regexp.MustCompile(`^\d+\.\d+`))),
					value("instance_uuid", knownvalue.StringExact(env.VCenter.InstanceUUID())),
				},
			},
			{
				ResourceName: address, ImportState: true, ImportStateVerify: true,
				ImportStateVerifyIgnore: []string{"password_wo_version"},
			},
			{
				ResourceName: address, ImportState: true, ImportStateVerify: true, ImportStateId: "lab",
				ImportStateVerifyIgnore: []string{"password_wo_version"},
			},
			{ResourceName: address, ImportState: true, ImportStateId: "nobody", ExpectError: regexp.MustCompile(`Not Found`)},
			{
				Config: config(env, arguments{
					"vcenter":     fmt.Sprintf("%q", "https://"+env.VCenter.Host()+"/sdk"),
					"thumbprints": fmt.Sprintf("[%q]", strings.ToLower(env.VCenter.Thumbprint())),
				}),
				ConfigPlanChecks: nothing,
			},
			{
				Config:            config(env, arguments{"name": `"prod"`, "verify": verify}),
				ConfigPlanChecks:  updated,
				ConfigStateChecks: []statecheck.StateCheck{id(), value("name", knownvalue.StringExact("prod"))},
			},
			{
				Config: config(env, arguments{
					"name": `"prod"`, "password_wo_version": "2",
					"thumbprints": fmt.Sprintf("[%q, %q]", strings.Repeat("AB:", 19)+"AB", env.VCenter.ThumbprintSHA1()),
				}),
				ConfigPlanChecks:  updated,
				ConfigStateChecks: []statecheck.StateCheck{id(), value("verify", knownvalue.Null())},
			},
			{
				Config: config(env, arguments{
					"name": `"prod"`, "password_wo_version": "3", "thumbprints": "", "ca_certificate": heredoc(env.VCenter.CACertificate()),
				}),
				ConfigPlanChecks:  updated,
				ConfigStateChecks: []statecheck.StateCheck{id(), value("thumbprints", knownvalue.Null())},
			},
			{
				Config: config(env, arguments{
					"name": `"prod"`, "password_wo_version": "3", "thumbprints": "", "ca_certificate": heredoc("\n" + env.VCenter.CACertificate()),
				}),
				ConfigPlanChecks: nothing,
			},
			{
				Config: config(env, arguments{
					"name": `"prod"`, "password_wo_version": "4", "thumbprints": "", "insecure": "true",
				}),
				ConfigPlanChecks:  updated,
				ConfigStateChecks: []statecheck.StateCheck{id(), value("insecure", knownvalue.Bool(true))},
			},
		},
	})
}

// isDefaultGateway checks that a gateway id is the real one of the only gateway.
func isDefaultGateway(t *testing.T, env *acctest.Env) func(string) error {
	t.Helper()
	return func(got string) error {
		if want := env.Gateway().ID; got != want {
			return fmt.Errorf("the gateway is %s, got %s", want, got)
		}
		return nil
	}
}

// gone checks that the hub has no account any more.
func gone(env *acctest.Env) func(*terraform.State) error {
	return func(*terraform.State) error {
		for _, name := range []string{"lab", "prod"} {
			_, err := env.Client().CloudAccountByName(context.Background(), name)
			if !errors.Is(err, hubapi.ErrNotFound) {
				return fmt.Errorf("account %s after destroy: %w", name, err)
			}
		}
		return nil
	}
}

func TestAccCloudAccountIdentity(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		TerraformVersionChecks:   []tfversion.TerraformVersionCheck{tfversion.SkipBelow(tfversion.Version1_12_0)},
		Steps: []resource.TestStep{
			{
				Config: config(env, nil),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectIdentityValueMatchesState(address, tfjsonpath.New("id")),
				},
			},
			{
				Config: config(env, arguments{"name": `"prod"`}),
				ConfigStateChecks: []statecheck.StateCheck{
					statecheck.ExpectIdentityValueMatchesState(address, tfjsonpath.New("id")),
				},
			},
			{ResourceName: address, ImportState: true, ImportStateKind: resource.ImportBlockWithResourceIdentity},
		},
	})
}

func TestAccCloudAccountDisappears(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{Config: config(env, nil), ConfigPlanChecks: created},
			{
				PreConfig: func() {
					account, err := env.Client().CloudAccountByName(t.Context(), "lab")
					if err != nil {
						t.Fatal(err)
					}
					if err := env.Client().DeleteCloudAccount(t.Context(), account.ID); err != nil {
						t.Fatal(err)
					}
				},
				Config: config(env, nil), ConfigPlanChecks: created,
			},
		},
	})
}

// TestAccCloudAccountRestart checks that the password that was sealed for the gateway can be used by its next process.
func TestAccCloudAccountRestart(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{Config: config(env, nil), ConfigPlanChecks: created},
			{PreConfig: env.Restart, Config: config(env, nil), ConfigPlanChecks: nothing},
			{Config: config(env, arguments{"name": `"prod"`}), ConfigPlanChecks: updated},
		},
	})
}

func TestAccCloudAccountRefused(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	wrong := strings.Repeat("AB:", 31) + "AB"
	cases := map[string]struct {
		reason string
		change arguments
		want   string
		logins int
	}{
		"WrongPassword": {
			reason: "A wrong password is one clear error and one attempt: accounts get locked.",
			change: arguments{"password_wo": `"wrong"`},
			want:   `(?s)Unable to Create Cloud Account.*refused.*credentials`, logins: 1,
		},
		"WrongUser": {
			reason: "So is a wrong user.",
			change: arguments{"username": `"nobody@vsphere.local"`},
			want:   `(?s)Unable to Create Cloud Account.*refused.*credentials`, logins: 1,
		},
		"WrongThumbprint": {
			reason: "A wrong thumbprint shows the presented one, on the attribute, and sends no password.",
			change: arguments{"thumbprints": fmt.Sprintf("[%q]", wrong)},
			want:   `(?s)thumbprints = .*` + flexible(env.VCenter.Thumbprint()),
		},
		"SystemTrust": {
			reason: "No trust is the system's CAs, never insecure.",
			change: arguments{"thumbprints": ""},
			want:   `(?s)Unable to Create Cloud Account.*untrusted`,
		},
		"Unreachable": {
			reason: "A vCenter that does not answer is named.",
			change: arguments{"vcenter": `"127.0.0.1:1"`},
			want:   `(?s)vcenter = "127.0.0.1:1".*unreachable`,
		},
		"MissingObject": {
			reason: "An object to check that does not exist is an error with near names.",
			change: arguments{"verify": `{ datacenter = "dc-nort" }`},
			want:   `(?s)Unable to Create Cloud Account.*dc-north.*verify\.datacenter`, logins: 1,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := env.VCenter.LoginAttempts()
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: env.ProviderFactories,
				Steps:                    []resource.TestStep{{Config: config(env, tc.change), ExpectError: regexp.MustCompile(tc.want)}},
			})
			if got := env.VCenter.LoginAttempts() - before; got != tc.logins {
				t.Errorf("%s\nwant %d login attempts, got %d", tc.reason, tc.logins, got)
			}
		})
	}
}

// flexible matches text that the CLI may have wrapped anywhere.
func flexible(text string) string {
	parts := strings.Split(text, ":")
	return strings.Join(parts, `:\s*`)
}

func TestAccCloudAccountPrivileges(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	env.VCenter.RevokePrivilege(testkit.DatastoreVSAN, "Datastore.AllocateSpace")
	verify := arguments{"verify": `{ datastore = "/dc-north/datastore/vsan-prod" }`}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config: config(env, verify),
				ExpectError: regexp.MustCompile(
					`(?s)verify = .*Datastore\.AllocateSpace\s+on\s+/dc-north/datastore/vsan-prod,\s+with.*propagation`),
			},
			{Config: config(env, nil), ConfigPlanChecks: created},
			{
				Config:      config(env, verify),
				ExpectError: regexp.MustCompile(`(?s)Unable to Update Cloud Account.*Datastore\.AllocateSpace`),
			},
			{Config: config(env, nil), ConfigPlanChecks: nothing},
		},
	})
}

func TestAccCloudAccountPasswordRules(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	failed := env.VCenter.FailedLogins()
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config: config(env, arguments{"password_wo": ""}), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)Missing Password.*at create`),
			},
			{Config: config(env, nil), ConfigPlanChecks: created},
			{Config: config(env, arguments{"password_wo": `"other"`}), ConfigPlanChecks: nothing},
			{Config: config(env, arguments{"password_wo": "", "name": `"prod"`}), ConfigPlanChecks: updated},
			{
				Config: config(env, arguments{"password_wo": "", "password_wo_version": "2"}), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)Missing Password.*password_wo_version\s+changes`),
			},
			{
				Config: config(env, arguments{"thumbprints": "", "insecure": "true"}), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)Password Needed Again.*password_wo_version = 1`),
			},
			{
				Config:      config(env, arguments{"password_wo": `"wrong"`, "password_wo_version": "2", "name": `"prod"`}),
				ExpectError: regexp.MustCompile(`(?s)Unable to Update Cloud Account.*credentials`),
			},
			// The account goes on with the password that it has.
			{Config: config(env, arguments{"name": `"lab"`}), ConfigPlanChecks: updated},
		},
	})
	if got := env.VCenter.FailedLogins() - failed; got != 1 {
		t.Errorf("want one failed login for one wrong password, got %d", got)
	}
}

func TestAccCloudAccountInvalid(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	ca := heredoc(env.VCenter.CACertificate())
	cases := map[string]struct {
		reason string
		change arguments
		want   string
	}{
		"TwoTrusts":     {"A certificate and thumbprints contradict.", arguments{"ca_certificate": ca}, `(?s)cannot be\s+specified`},
		"InsecureTrust": {"Insecure and trust contradict.", arguments{"insecure": "true"}, `Contradicting Trust`},
		"Thumbprint":    {"A thumbprint has a form.", arguments{"thumbprints": `["AB"]`}, `Invalid Thumbprint`},
		"NoThumbprints": {"An empty list would trust nobody.", arguments{"thumbprints": `[]`}, `at least 1`},
		"Scheme":        {"A vCenter is reached by https.", arguments{"vcenter": `"http://vc"`}, `Invalid vCenter Address`},
		"Path":          {"Nothing but /sdk follows.", arguments{"vcenter": `"vc.example/ui"`}, `Invalid vCenter Address`},
		"Name":          {"A name is a DNS label.", arguments{"name": `"My Lab"`}, `Invalid Name`},
		"Alias":         {"The alias of the system gateway is no id.", arguments{"gateway_id": `"system"`}, `Invalid Gateway Id`},
		"Username":      {"A user has a name.", arguments{"username": `""`}, `at least 1`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: env.ProviderFactories,
				Steps: []resource.TestStep{{
					Config: config(env, tc.change), PlanOnly: true, ExpectError: regexp.MustCompile(tc.want),
				}},
			})
		})
	}
}

func TestAccCloudAccountUnknownInputs(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	late := fmt.Sprintf(`
resource "terraform_data" "late" {
  input = {
    name = "lab", vcenter = %q, username = %q, password = %q, thumbprint = %q
    verify = { datacenter = "dc-north", compute_cluster = null, folder = null, datastore = null, network = null,
      resource_pool = null, templates_folder = null }
  }
}
`, env.VCenter.Host(), env.VCenter.Username(), env.VCenter.Password(), env.VCenter.Thumbprint())
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{{
			Config: late + config(env, arguments{
				"name":        "terraform_data.late.output.name",
				"vcenter":     "terraform_data.late.output.vcenter",
				"username":    "terraform_data.late.output.username",
				"password_wo": "terraform_data.late.output.password",
				"thumbprints": "[terraform_data.late.output.thumbprint]",
				"verify":      "terraform_data.late.output.verify",
			}),
			ConfigPlanChecks: created,
		}},
	})
}

func TestAccCloudAccountDataSource(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	byID := `
data "palette_cloud_account" "by_id" { id = palette_cloud_account.this.id }
data "palette_cloud_account" "by_name" { name = palette_cloud_account.this.name }
`
	var same []statecheck.StateCheck
	for _, name := range []string{"id", "name", "gateway_id", "vcenter", "username", "vcenter_version", "instance_uuid"} {
		for _, source := range []string{"data.palette_cloud_account.by_id", "data.palette_cloud_account.by_name"} {
			same = append(same, statecheck.CompareValuePairs(
				address, tfjsonpath.New(name), source, tfjsonpath.New(name), compare.ValuesSame()))
		}
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config: config(env, nil) + byID, ConfigStateChecks: same,
				ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: empty},
			},
			{
				Config:      config(env, nil) + `data "palette_cloud_account" "nobody" { name = "nobody" }`,
				ExpectError: regexp.MustCompile(`(?s)Unable to Read Cloud Account.*nobody`),
			},
			{
				Config:      config(env, nil) + `data "palette_cloud_account" "nobody" {}`,
				ExpectError: regexp.MustCompile(`Missing Attribute Configuration`),
			},
			{Config: config(env, nil), ConfigPlanChecks: nothing},
		},
	})
}
