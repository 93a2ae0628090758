package vmwarecluster_test

import (
	"regexp"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
)

func TestAccClusterScale(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(2)
	s.Static = true
	out := s.with(func(s *scene) { s.Workers["general"] = pool{Count: 3, CPU: 2, Memory: 4096, Disk: 20} })
	in := s.with(func(s *scene) { s.Workers["general"] = pool{Count: 1, CPU: 2, Memory: 4096, Disk: 20} })
	more := in.with(func(s *scene) {
		s.Workers["batch"] = pool{Count: 1, CPU: 4, Memory: 8192, Disk: 20, Extra: `labels = { tier = "batch" }`}
	})
	large := in.with(func(s *scene) { s.ControlPlane.Count = 3 })
	run(t, env,
		resource.TestStep{
			Config: s.hcl(env), ConfigStateChecks: ready(3), Check: machines(env, "prod-cp-0", "prod-general-0", "prod-general-1"),
			ConfigPlanChecks: plans(plancheck.ResourceActionCreate),
		},
		resource.TestStep{
			Config: out.hcl(env), ConfigStateChecks: ready(4),
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^clone prod-general-2 from .*\(linked: .*\)`),
			Check:            machines(env, "prod-cp-0", "prod-general-0", "prod-general-1", "prod-general-2"),
		},
		resource.TestStep{
			Config: in.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^destroy prod-general-\{1,2\}`),
			Check: machines(env, "prod-cp-0", "prod-general-0"),
		},
		resource.TestStep{
			Config: more.hcl(env), ConfigStateChecks: ready(3), ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^clone prod-batch-0 from`),
			Check: machines(env, "prod-batch-0", "prod-cp-0", "prod-general-0"),
		},
		resource.TestStep{
			Config: in.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^destroy prod-batch-0`),
			Check: machines(env, "prod-cp-0", "prod-general-0"),
		},
		resource.TestStep{
			Config: large.hcl(env), ConfigStateChecks: ready(4),
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^clone prod-cp-\{1,2\} from`),
			Check:            machines(env, "prod-cp-0", "prod-cp-1", "prod-cp-2", "prod-general-0"),
		},
	)
}

func TestAccClusterChangeInPlace(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(1)
	general := func(p pool) scene { return s.with(func(s *scene) { s.Workers["general"] = p }) }
	same := machines(env, "prod-cp-0", "prod-general-0")
	run(t, env,
		resource.TestStep{Config: s.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
		resource.TestStep{
			Config:            general(pool{Count: 1, CPU: 4, Memory: 8192, Disk: 20}).hcl(env),
			ConfigStateChecks: ready(2), Check: same,
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^reconfigure prod-general-0`),
		},
		resource.TestStep{
			Config: general(pool{Count: 1, CPU: 4, Memory: 8192, Disk: 20, Extra: `
    labels = { tier = "general" }
    annotations = { owner = "platform" }
    taints = [{ key = "dedicated", effect = "NoSchedule" }]`}).hcl(env),
			ConfigStateChecks: ready(2), Check: same,
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^label prod-general-0`),
		},
		resource.TestStep{
			Config:            general(pool{Count: 1, CPU: 4, Memory: 8192, Disk: 20}).hcl(env),
			ConfigStateChecks: ready(2), Check: same,
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `^label prod-general-0`),
		},
		resource.TestStep{ // Concerns the provider alone.
			Config: general(pool{Count: 1, CPU: 4, Memory: 8192, Disk: 20}).with(func(s *scene) {
				s.Top = `timeouts = { create = "61s", update = "61s", delete = "61s" }`
			}).hcl(env),
			ConfigStateChecks: ready(2), Check: same, ConfigPlanChecks: plans(plancheck.ResourceActionUpdate),
		},
	)
}

func TestAccClusterDiskGrows(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(1)
	s.Template = "ubuntu-2404-kube-v1.34.1-nosnap" // A full clone: the disk of a linked one cannot grow.
	grown := s.with(func(s *scene) { s.Workers["general"] = pool{Count: 1, CPU: 2, Memory: 4096, Disk: 40} })
	run(t, env,
		resource.TestStep{Config: s.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
		resource.TestStep{
			Config: grown.hcl(env), ConfigStateChecks: ready(2),
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, `prod-general-0`),
		},
	)
}

func TestAccClusterUpgrade(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(2)
	s.Static = true
	s.Version, s.Template = "v1.33.5", "ubuntu-2404-kube-v1.33.5"
	up := s.with(func(s *scene) { s.Version, s.Template = "v1.34.1", "ubuntu-2404-kube-v1.34.1" })
	run(t, env,
		resource.TestStep{Config: s.hcl(env), ConfigStateChecks: ready(3), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
		resource.TestStep{
			Config: up.hcl(env), ConfigStateChecks: ready(3),
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate,
				`^replace prod-cp-0.*(template|version)`, `^replace prod-general-\{0,1\}.*(template|version)`),
			Check: machines(env, "prod-cp-0-r2", "prod-general-0-r2", "prod-general-1-r2"),
		},
	)
}

func TestAccClusterDrift(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(2)
	outside := func(do func() error) func() {
		return func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
	}
	step := func(line string, do func() error) resource.TestStep {
		return resource.TestStep{
			PreConfig: outside(do), Config: s.hcl(env), ConfigStateChecks: ready(3),
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate, line),
		}
	}
	run(t, env,
		resource.TestStep{Config: s.hcl(env), ConfigStateChecks: ready(3), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
		step(`^power on prod-general-0`, func() error { return env.VCenter.PowerOffVM("prod-general-0") }),
		step(`^reconfigure prod-general-1`, func() error { return env.VCenter.ResizeVM("prod-general-1", 4, 0) }),
		step(`^(relocate|move) prod-general-0`, func() error {
			return env.VCenter.MoveVM("prod-general-0", "/dc-north/vm/legacy/apps")
		}),
		step(`^clone prod-general-1`, func() error { return env.VCenter.DestroyVM("prod-general-1") }),
		resource.TestStep{ // A machine on another host of its cluster is no difference.
			Config: s.hcl(env), ConfigStateChecks: ready(3), ConfigPlanChecks: plans(plancheck.ResourceActionNoop),
		},
	)
}

func TestAccClusterPlanErrors(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	good := newScene(1)
	good.Static = true
	good.Addresses = "10.20.120.20-10.20.120.22"
	account := good.with(func(s *scene) { s.Protected = false })
	fails := func(change func(s *scene), want string) resource.TestStep {
		return resource.TestStep{Config: good.with(change).hcl(env), PlanOnly: true, ExpectError: regexp.MustCompile(want)}
	}
	general := func(p pool) func(s *scene) { return func(s *scene) { s.Workers["general"] = p } }
	run(t, env,
		resource.TestStep{Config: account.hcl(env), ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
		fails(func(s *scene) { s.Template = "ubuntu-2404-kube-v1.34.9" }, `(?s)template\s+=.*ubuntu-2404-kube-v1\.34\.1`),
		fails(func(s *scene) { s.Template = "ubuntu-2404-kube-v1.33.5" }, `(?s)v1\.33\.5`),
		fails(func(s *scene) { s.Version, s.Template = "v1.36.0", "x" }, `(?s)kubernetes_version`),
		fails(func(s *scene) { s.Network = "pg-k8s-129" }, `(?s)networks\[0\]|pg-k8s-120`),
		fails(func(s *scene) { s.Datastore = "vsan-prode" }, `(?s)placements\[0\]\.datastore`),
		fails(func(s *scene) { s.Cluster = "prod-z" }, `(?s)placements\[0\]\.compute_cluster`),
		fails(func(s *scene) { s.ControlPlane.Count = 2 }, `Invalid Control Plane Count`),
		fails(general(pool{Count: 9, CPU: 2, Memory: 4096, Disk: 20}), `(?s)address`),
		fails(general(pool{Count: 1, CPU: 2, Memory: 4096, Disk: 5}), `(?s)disk_gib`),
	)
}
