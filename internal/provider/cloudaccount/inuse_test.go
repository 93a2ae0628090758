package cloudaccount_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// TestAccCloudAccountInUse checks that an account cannot be deleted while a cluster uses it.
func TestAccCloudAccountInUse(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	cluster := tfkit.NewID()
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{Config: config(env, nil), ConfigPlanChecks: created},
			{
				PreConfig:   func() { createCluster(t, env.Client(), cluster) },
				Config:      env.ProviderConfig() + "\noutput \"nothing\" { value = 1 }\n",
				ExpectError: regexp.MustCompile(`(?s)Unable to Delete Cloud Account.*prod.*Delete\s+these\s+clusters.*in_use`),
			},
			{Config: config(env, nil), ConfigPlanChecks: nothing},
			{
				PreConfig: func() { deleteCluster(t, env.Client(), cluster) },
				Config:    env.ProviderConfig() + "\noutput \"nothing\" { value = 1 }\n",
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
	written, err := client.PutCluster(t.Context(), id, hubapi.ClusterWrite{Spec: hubapi.ClusterSpec{
		Name: "prod", CloudAccountID: account.ID, KubernetesVersion: "v1.34.1", Datacenter: "dc-north", Folder: "k8s/prod",
		Template: "ubuntu-2404-kube-v1.34.1", CloneMode: hubapi.CloneAuto,
		Endpoint: hubapi.Endpoint{Host: "10.20.3.200", Port: 6443},
		Network:  hubapi.ClusterNetwork{PodCIDR: "192.168.0.0/16", ServiceCIDR: "10.96.0.0/12", DNSDomain: "cluster.local"},
		ControlPlane: hubapi.Pool{
			Count: 1, CPU: 2, MemoryMiB: 4096, DiskGiB: 20, UpdateStrategy: hubapi.UpdateStrategy{MaxSurge: 1},
			Placements: []hubapi.Placement{{
				ComputeCluster: "prod-a", Datastore: "vsan-prod", Networks: []string{"pg-k8s-120"},
			}},
		},
	}}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	err = client.WatchCluster(t.Context(), id, 0, func(e hubapi.Event) error {
		if e.ObservedGeneration >= written.Generation {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func deleteCluster(t *testing.T, client *hubapi.Client, id string) {
	t.Helper()
	if err := client.DeleteCluster(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	err := client.WatchCluster(t.Context(), id, 0, func(e hubapi.Event) error {
		if e.Gone {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
