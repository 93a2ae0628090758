package ippool_test

import (
	"errors"
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// TestAccIPPoolLeased checks that leased addresses are shown without a plan of their own, cannot be taken out of the pool,
// and keep it from being deleted.
func TestAccIPPoolLeased(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	cluster := tfkit.NewID()
	config := func(body string) string {
		return config(env, "  name = \"nodes\"\n  gateway = \"10.20.0.1\"\n  name_servers = [\"10.20.0.1\"]\n"+body) + env.AccountConfig()
	}
	whole := config("  subnet = \"10.20.0.0/24\"\n  cooldown_seconds = 0\n")
	nothing := checks(plancheck.ResourceActionNoop)
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{Config: whole, ConfigPlanChecks: created},
			{
				PreConfig: func() { createCluster(t, env.Client(), cluster) },
				Config:    whole, ConfigPlanChecks: nothing,
				ConfigStateChecks: []statecheck.StateCheck{number("total", 253), number("used", 1), number("free", 252)},
			},
			{
				Config: config("  prefix = 24\n  ranges = [{ start = \"10.20.0.100\", end = \"10.20.0.110\" }]"), PlanOnly: true,
				ExpectError: regexp.MustCompile(`(?s)prod-cp-0 has address 10\.20\.0\.2.*ranges = `),
			},
			{
				Config:      env.ProviderConfig() + env.AccountConfig(),
				ExpectError: regexp.MustCompile(`(?s)Unable to Delete IP Pool.*in_use`),
			},
			{
				PreConfig: func() { deleteCluster(t, env.Client(), cluster) },
				Config:    whole, ConfigPlanChecks: nothing,
				ConfigStateChecks: []statecheck.StateCheck{number("used", 0), number("free", 253)},
			},
		},
	})
}

func createCluster(t *testing.T, client *hubapi.Client, id string) {
	t.Helper()
	account, err := client.CloudAccountByName(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	pool, err := client.IPPoolByName(t.Context(), "nodes")
	if err != nil {
		t.Fatal(err)
	}
	written, err := client.PutCluster(t.Context(), id, hubapi.ClusterWrite{Spec: hubapi.ClusterSpec{
		Name: "prod", CloudAccountID: account.ID, KubernetesVersion: "v1.34.1", Datacenter: "dc-north", Folder: "k8s/prod",
		Template: "ubuntu-2404-kube-v1.34.1", CloneMode: hubapi.CloneAuto,
		Endpoint: hubapi.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:  hubapi.ClusterNetwork{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: hubapi.Pool{
			Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20, UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
			Placements: []hubapi.Placement{{
				ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"}, IPPoolID: pool.ID,
			}},
		},
	}}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	await(t, client, id, func(e hubapi.Event) bool { return e.ObservedGeneration >= written.Generation })
}

func deleteCluster(t *testing.T, client *hubapi.Client, id string) {
	t.Helper()
	if err := client.DeleteCluster(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	await(t, client, id, func(e hubapi.Event) bool { return e.Gone })
}

func await(t *testing.T, client *hubapi.Client, id string, done func(hubapi.Event) bool) {
	t.Helper()
	err := client.WatchCluster(t.Context(), id, 0, func(e hubapi.Event) error {
		if done(e) {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, hubapi.ErrNotFound) {
		t.Fatal(err)
	}
}
