package gateway_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-testing/compare"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/terraform"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// appliance is a gateway with an appliance with these attributes instead of the usual ones; an empty one is left out.
func appliance(env *acctest.Env, change map[string]string) string {
	attributes := map[string]string{
		"vcenter": fmt.Sprintf("%q", env.VCenter.Host()), "username": fmt.Sprintf("%q", env.VCenter.Username()),
		"password_wo": fmt.Sprintf("%q", env.VCenter.Password()), "password_wo_version": "1",
		"thumbprints": fmt.Sprintf("[%q]", env.VCenter.Thumbprint()),
		"datacenter":  `"dc-north"`, "folder": `"gateways"`, "compute_cluster": `"prod-a"`, "datastore": `"vsan-prod"`,
		"network": `"pg-k8s-120"`, "template": `"ubuntu-2404-kube-v1.34.1"`,
	}
	maps.Copy(attributes, change)
	text := env.ProviderConfig() + "resource \"palette_gateway\" \"this\" {\n  name = \"north\"\n  timeouts = { create = \"60s\", update = \"60s\" }\n  appliance = {\n"
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if attributes[name] != "" {
			text += "    " + name + " = " + attributes[name] + "\n"
		}
	}
	return text + "  }\n}\n"
}

// gatewayVMs are the names of the VMs of gateways.
func gatewayVMs(env *acctest.Env) []string {
	var names []string
	for _, path := range env.VCenter.VMs() {
		if strings.Contains(path, "/gateways/") {
			names = append(names, path[strings.LastIndexByte(path, '/')+1:])
		}
	}
	slices.Sort(names)
	return names
}

func vms(env *acctest.Env, want ...string) resource.TestCheckFunc {
	return func(*terraform.State) error {
		if got := gatewayVMs(env); !slices.Equal(got, want) {
			return fmt.Errorf("the VMs are %v, want %v", got, want)
		}
		return nil
	}
}

func TestAccAppliance(t *testing.T) {
	t.Parallel()
	env := acctest.NewRemote(t)
	foreign := env.VCenter.VMs()
	key := statecheck.CompareValue(compare.ValuesSame())
	sameKey := func() statecheck.StateCheck { return key.AddStateValue(address, tfjsonpath.New("key_fingerprint")) }
	first := statecheck.CompareValue(compare.ValuesSame())
	sameVM := func() statecheck.StateCheck {
		return first.AddStateValue(address, tfjsonpath.New("machines").AtSliceIndex(0).AtMapKey("moid"))
	}
	larger := map[string]string{"cpu": "4", "memory_mib": "4096", "disk_gib": "30"}
	three := map[string]string{"cpu": "4", "memory_mib": "4096", "disk_gib": "30", "replicas": "3"}
	rolled := map[string]string{"cpu": "4", "memory_mib": "4096", "disk_gib": "30", "replicas": "3", "ntp_servers": `["10.0.0.1"]`}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		CheckDestroy: func(*terraform.State) error {
			if got := env.VCenter.VMs(); !slices.Equal(got, foreign) {
				return fmt.Errorf("VMs are left: %v", got)
			}
			return nil
		},
		Steps: []resource.TestStep{
			{
				Config: appliance(env, map[string]string{"password_wo": ""}), PlanOnly: true,
				ExpectError: regexp.MustCompile(`Missing Password`),
			},
			{
				Config: appliance(env, map[string]string{"replicas": "2"}), PlanOnly: true, ExpectError: regexp.MustCompile(`(?s)replicas.*one\s+of`),
			},
			{
				Config: appliance(env, map[string]string{"disk_gib": "20"}), ConfigPlanChecks: created, Check: vms(env, "north-gw-0"),
				ConfigStateChecks: []statecheck.StateCheck{
					sameKey(), sameVM(), value("status", knownvalue.StringExact("online")), value("machines", knownvalue.ListSizeExact(1)),
					value("replicas", knownvalue.ListExact([]knownvalue.Check{
						knownvalue.ObjectPartial(map[string]knownvalue.Check{"name": knownvalue.StringExact("north-gw-0")}),
					})),
					statecheck.ExpectKnownValue(address, tfjsonpath.New("appliance").AtMapKey("password_wo"), knownvalue.Null()),
				},
			},
			{
				Config: appliance(env, larger), ConfigPlanChecks: updated, Check: vms(env, "north-gw-0"),
				ConfigStateChecks: []statecheck.StateCheck{sameKey(), sameVM(), value("status", knownvalue.StringExact("online"))},
			},
			{
				Config: appliance(env, three), ConfigPlanChecks: updated, Check: vms(env, "north-gw-0", "north-gw-1", "north-gw-2"),
				ConfigStateChecks: []statecheck.StateCheck{sameKey(), sameVM(), value("replicas", knownvalue.ListSizeExact(3))},
			},
			{
				Config: appliance(env, rolled), ConfigPlanChecks: updated,
				Check:             vms(env, "north-gw-0-r2", "north-gw-1-r2", "north-gw-2-r2"),
				ConfigStateChecks: []statecheck.StateCheck{sameKey(), value("replicas", knownvalue.ListSizeExact(3))},
			},
			// A VM that somebody destroyed is made again.
			{
				PreConfig: func() {
					if err := env.VCenter.DestroyVM("north-gw-1-r2"); err != nil {
						t.Fatal(err)
					}
					awaitDisconnected(t, env.Client(), "north-gw-1-r2")
				},
				Config: appliance(env, rolled), ConfigPlanChecks: updated,
				ConfigStateChecks: []statecheck.StateCheck{
					sameKey(), value("machines", knownvalue.ListSizeExact(3)), value("replicas", knownvalue.ListSizeExact(3)),
				},
			},
		},
	})
}

// awaitDisconnected waits until the hub has noticed that a replica is gone.
func awaitDisconnected(t *testing.T, client *hubapi.Client, name string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		g, err := client.GatewayByName(t.Context(), "north")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(g.Status.Replicas, func(r hubapi.GatewayReplica) bool { return r.Name == name && r.ConnectedSince != nil }) {
			return
		}
	}
}

func TestAccApplianceRefusals(t *testing.T) {
	t.Parallel()
	env := acctest.NewRemote(t)
	static := func(addresses string) map[string]string {
		return map[string]string{"network_config": `{ addresses = [` + addresses + `], gateway = "10.20.120.1" }`}
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{
				Config:   appliance(env, map[string]string{"insecure": "true"}),
				PlanOnly: true, ExpectError: regexp.MustCompile(`Contradicting Trust`),
			},
			{Config: appliance(env, static(`"10.20.0.0/24"`)), PlanOnly: true, ExpectError: regexp.MustCompile(`Invalid Address`)},
			{Config: appliance(env, static("")), PlanOnly: true, ExpectError: regexp.MustCompile(`Too Few Addresses`)},
			{
				Config:      appliance(env, map[string]string{"password_wo": `"wrong"`}),
				ExpectError: regexp.MustCompile(`(?s)Unable to Deploy Appliance.*`),
			},
			{
				Config:      appliance(env, map[string]string{"template": `"nothing"`}),
				ExpectError: regexp.MustCompile(`(?s)Unable to Deploy Appliance.*no\s+template\s+"nothing"`),
			},
			{
				Config: appliance(env, static(`"10.20.120.41/24"`)), ConfigPlanChecks: resource.ConfigPlanChecks{}, Check: vms(env, "north-gw-0"),
				ConfigStateChecks: []statecheck.StateCheck{value("status", knownvalue.StringExact("online"))},
			},
			// Without the block the VMs go.
			{Config: env.ProviderConfig() + "resource \"palette_gateway\" \"this\" {\n  name = \"north\"\n}\n", Check: vms(env)},
		},
	})
}
