package vmwarecluster_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func TestAccClusterGuestFails(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(1)
	env.VCenter.Guest("prod-general-0", testkit.Behaviour{FailAt: "join", LogTail: "connection refused by 10.20.120.10:6443"})
	run(t, env,
		resource.TestStep{
			Config:      s.hcl(env),
			ExpectError: regexp.MustCompile(`(?s)prod-general-0.*(connection\s+refused).*Last\s+phase.*Failed.*untaint`),
		},
		resource.TestStep{ // Tainted: made anew, with a guest that behaves.
			PreConfig: func() { env.VCenter.Guest("*", testkit.Behaviour{}) },
			Config:    s.hcl(env), ConfigStateChecks: ready(2),
			ConfigPlanChecks: plans(plancheck.ResourceActionDestroyBeforeCreate),
		},
	)
}

func TestAccClusterResume(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(1)
	s.Top = `timeouts = { create = "3s" }`
	env.VCenter.Guest("prod-general-0", testkit.Behaviour{HangAt: "join"})
	resumed := plans(plancheck.ResourceActionUpdate)
	if acctest.Remote() {
		// A gateway goes on without an apply: what is planned then depends on how far it has come.
		resumed.PreApply = nil
	}
	run(t, env,
		resource.TestStep{
			Config: s.hcl(env), ExpectNonEmptyPlan: true,
			ConfigStateChecks: []statecheck.StateCheck{
				statecheck.ExpectKnownValue(address, tfjsonpath.New("ready"), knownvalue.Bool(false)),
			},
			ConfigPlanChecks: resource.ConfigPlanChecks{PostApplyPostRefresh: []plancheck.PlanCheck{
				plancheck.ExpectResourceAction(address, plancheck.ResourceActionUpdate),
				plancheck.ExpectUnknownValue(address, tfjsonpath.New("ready")),
			}},
		},
		resource.TestStep{
			PreConfig: func() {
				env.Restart()
				env.VCenter.Guest("*", testkit.Behaviour{})
			},
			Config: s.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: resumed,
			Check: machines(env, "prod-cp-0", "prod-general-0"),
		},
	)
}

func TestAccClusterDeleteAfterLoss(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		lose   func(vc *testkit.VCenter) error
		left   string
	}{
		"Template": {
			reason: "A cluster can be deleted without its template.",
			lose:   func(vc *testkit.VCenter) error { return vc.DestroyTemplate("ubuntu-2404-kube-v1.34.1") },
		},
		"Folder": {
			reason: "Or when its folder is gone with all machines.",
			lose:   func(vc *testkit.VCenter) error { return vc.DestroyFolder("/dc-north/vm/k8s/prod") },
		},
		"Machines": {
			reason: "Or when machines are gone.",
			lose:   func(vc *testkit.VCenter) error { return vc.DestroyVM("prod-cp-0") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := acctest.New(t)
			s := newScene(1)
			run(t, env,
				resource.TestStep{Config: s.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
				resource.TestStep{
					PreConfig: func() {
						if err := tc.lose(env.VCenter); err != nil {
							t.Fatalf("%s %v", tc.reason, err)
						}
					},
					Config: s.hcl(env), Destroy: true,
				},
			)
		})
	}
}

func TestAccClusterDeleteLeavesForeign(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(1)
	const disk = "[vsan-prod] data/volume.vmdk"
	do := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: env.ProviderFactories,
		Steps: []resource.TestStep{
			{Config: s.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
			{ // Somebody's data on a machine: it is named, and nothing of it is touched.
				PreConfig: func() { do(env.VCenter.AttachForeignDisk("prod-general-0", disk)) },
				Config:    s.hcl(env), Destroy: true, ExpectError: regexp.MustCompile(`(?s)data/volume\.vmdk`),
			},
			{ // The owner has taken the machine away, and has a VM of his own in the folder: both folder and VM stay.
				PreConfig: func() {
					if !env.VCenter.DiskExists(disk) {
						t.Error("somebody else's disk was touched")
					}
					do(env.VCenter.DestroyVM("prod-general-0"))
					do(env.VCenter.CreateForeignVM("/dc-north/vm/k8s/prod", "theirs"))
				},
				Config: s.hcl(env), Destroy: true, Check: machines(env, "theirs"),
			},
		},
	})
	if !env.VCenter.VM("theirs").Exists {
		t.Error("somebody else's VM was touched")
	}
}
