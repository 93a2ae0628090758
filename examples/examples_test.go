// Package examples_test plans every example with the real CLI against a simulated vCenter, and applies the quickstart. An
// example that stands in the documentation therefore works.
package examples_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-testing/config"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
)

const requiredProviders = `
terraform {
  required_providers {
    palette = { source = "terraform-provider-palette/palette" }
  }
}
`

// example is what a directory of examples needs to be planned.
type example struct {
	reason string
	// before are files that are applied first, so that everything the example refers to is known at plan.
	before []string
	// remote tells that it needs a hub of its own, which has no gateway yet.
	remote bool
	// account and pool tell whether the test's own cloud account and address pool come before it.
	account, pool bool
	variables     config.Variables
}

const (
	poolExample    = "resources/palette_ip_pool/resource.tf"
	gatewayExample = "resources/palette_gateway/resource.tf"
)

var examples = map[string]example{
	"provider":                         {reason: "the provider block alone"},
	"resources/palette_cloud_account":  {reason: "an account", variables: config.Variables{"vcenter_password": config.StringVariable("secret")}},
	"resources/palette_ip_pool":        {reason: "pools of both families"},
	"resources/palette_vmware_cluster": {reason: "a minimal and a full cluster", account: true, pool: true},
	"resources/palette_gateway": {
		reason: "gateways of three kinds", remote: true, variables: config.Variables{"vcenter_password": config.StringVariable("secret")},
	},
	"data-sources/palette_gateway": {
		reason: "a gateway that exists", remote: true, before: []string{gatewayExample},
	},
	"data-sources/palette_gateways": {
		reason: "gateways that exist", remote: true, before: []string{gatewayExample},
	},
	"ephemeral-resources/palette_gateway_pairing_token": {
		reason: "a token for a gateway that exists", remote: true, before: []string{gatewayExample},
	},
	"data-sources/palette_cloud_account":  {reason: "an account that exists", account: true},
	"data-sources/palette_datacenters":    {reason: "inventory", account: true},
	"data-sources/palette_datastores":     {reason: "inventory", account: true},
	"data-sources/palette_folders":        {reason: "inventory", account: true},
	"data-sources/palette_networks":       {reason: "inventory", account: true},
	"data-sources/palette_resource_pools": {reason: "inventory", account: true},
	"data-sources/palette_templates":      {reason: "inventory", account: true},
	"data-sources/palette_compute_clusters": {
		reason: "inventory", account: true,
	},
	"data-sources/palette_vmware_cluster": {
		reason: "a cluster that exists", account: true, before: []string{"resources/palette_vmware_cluster/resource.tf"},
	},
}

// emptyPlans are examples that plan nothing.
var emptyPlans = map[string]bool{
	"provider": true, "ephemeral-resources/palette_gateway_pairing_token": true,
}

// TestEveryExampleIsTested holds the table above to the directories there are.
func TestEveryExampleIsTested(t *testing.T) {
	found := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".tf") {
			found[filepath.ToSlash(filepath.Dir(path))] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Remote needs processes of its own: internal/site applies it.
	tested := map[string]bool{"quickstart": true, "remote/gateway": true, "remote/cluster": true}
	for name := range examples {
		tested[name] = true
	}
	if diff := cmp.Diff(found, tested); diff != "" {
		t.Errorf("examples there are (-) and examples that are planned (+):\n%s", diff)
	}
}

func TestExamplesPlan(t *testing.T) {
	t.Setenv("TF_ACC_PROVIDER_NAMESPACE", "terraform-provider-palette")
	for name, tc := range examples {
		t.Run(strings.ReplaceAll(name, "/", "_"), func(t *testing.T) {
			world := acctest.New
			if tc.remote {
				world = acctest.NewRemote
			}
			env := world(t)
			env.Setenv(t)
			before := t.TempDir()
			write(t, before, "prelude.tf", prelude(t, env, name, tc))
			for _, file := range tc.before {
				write(t, before, "before_"+filepath.Base(file), unprotected(read(t, file)))
			}
			with := t.TempDir()
			copyExample(t, before, with)
			copyExample(t, name, with)
			resource.Test(t, resource.TestCase{
				// A configuration with required_providers wants its providers with the step.
				Steps: []resource.TestStep{
					{ProtoV6ProviderFactories: env.ProviderFactories, ConfigDirectory: config.StaticDirectory(before)},
					{
						ProtoV6ProviderFactories: env.ProviderFactories,
						ConfigDirectory:          config.StaticDirectory(with), ConfigVariables: tc.variables,
						PlanOnly: true, ExpectNonEmptyPlan: !emptyPlans[name],
					},
				},
			})
		})
	}
}

// TestQuickstart applies what the documentation begins with, and changes it.
func TestQuickstart(t *testing.T) {
	t.Setenv("TF_ACC_PROVIDER_NAMESPACE", "terraform-provider-palette")
	env := acctest.New(t)
	env.Setenv(t)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, []byte(env.VCenter.CACertificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := func(workers int) config.Variables {
		return config.Variables{
			"vcenter":          config.StringVariable(env.VCenter.Host()),
			"vcenter_username": config.StringVariable(env.VCenter.Username()),
			"vcenter_password": config.StringVariable(env.VCenter.Password()),
			"vcenter_ca_file":  config.StringVariable(authority),
			"workers":          config.IntegerVariable(workers),
		}
	}
	machines := func(want int) []statecheck.StateCheck {
		return []statecheck.StateCheck{
			statecheck.ExpectKnownValue("palette_vmware_cluster.this", tfjsonpath.New("ready"), knownvalue.Bool(true)),
			statecheck.ExpectKnownValue("palette_vmware_cluster.this", tfjsonpath.New("machines"), knownvalue.ListSizeExact(want)),
		}
	}
	directory := config.StaticDirectory("quickstart")
	resource.Test(t, resource.TestCase{
		Steps: []resource.TestStep{
			{
				ProtoV6ProviderFactories: env.ProviderFactories,
				ConfigDirectory:          directory, ConfigVariables: variables(2), ConfigStateChecks: machines(3),
			},
			{
				ProtoV6ProviderFactories: env.ProviderFactories,
				ConfigDirectory:          directory, ConfigVariables: variables(3), ConfigStateChecks: machines(4),
				ConfigPlanChecks: resource.ConfigPlanChecks{PreApply: []plancheck.PlanCheck{
					plancheck.ExpectResourceAction("palette_vmware_cluster.this", plancheck.ResourceActionUpdate),
					plancheck.ExpectKnownValue("palette_vmware_cluster.this", tfjsonpath.New("planned_operations"),
						knownvalue.ListExact([]knownvalue.Check{knownvalue.StringExact(
							"clone quickstart-general-2 from ubuntu-2404-kube-v1.34.1 (linked: snapshot present, same disk size)")})),
				}},
			},
		},
	})
}

// TestPermissionsGuide holds the guide to the list that accounts are checked against.
func TestPermissionsGuide(t *testing.T) {
	var list struct {
		Roles map[string][]string `json:"roles"`
	}
	if err := json.Unmarshal([]byte(read(t, "../internal/vsphere/vsphere-privileges.json")), &list); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(read(t, "../templates/guides/permissions.md"), "\n")
	for role, privileges := range list.Roles {
		start := slices.Index(lines, "## Role `"+role+"`")
		if start < 0 {
			t.Errorf("the guide has no section for role %s", role)
			continue
		}
		// A heading, a blank line and the opening of the block come before the list.
		var got []string
		for _, line := range lines[start+3:] {
			if line == "```" {
				break
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(privileges, got); diff != "" {
			t.Errorf("role %s, as checked (-) and in the guide (+):\n%s", role, diff)
		}
	}
}

// prelude is the configuration around an example.
func prelude(t *testing.T, env *acctest.Env, name string, tc example) string {
	t.Helper()
	if name == "provider" {
		return ""
	}
	text := requiredProviders + env.ProviderConfig()
	if tc.account {
		text += strings.ReplaceAll(env.AccountConfig(), `"this"`, `"lab"`)
	}
	if tc.pool {
		text += read(t, poolExample)
	}
	return text
}

// unprotected lets a test destroy the clusters of an example.
func unprotected(text string) string {
	return strings.ReplaceAll(text, "  control_plane_endpoint", "  deletion_protection    = false\n  control_plane_endpoint")
}

// copyExample copies the configuration in a directory; what is for imports is shown, not planned.
func copyExample(t *testing.T, from, to string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "*.tf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if base := filepath.Base(file); !strings.HasPrefix(base, "import") {
			write(t, to, base, read(t, file))
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
