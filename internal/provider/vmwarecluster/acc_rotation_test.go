package vmwarecluster_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/plancheck"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/acctest"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// TestAccClusterPasswordRotated corrects a cloud account whose password the vCenter no longer takes, in the very
// configuration of a cluster that cannot be looked at until that is done.
func TestAccClusterPasswordRotated(t *testing.T) {
	t.Parallel()
	env := acctest.New(t)
	s := newScene(1)
	before := s.hcl(env)
	version := func(config, version string) string {
		return strings.Replace(config, "password_wo_version = 1", "password_wo_version = "+version, 1)
	}
	// rotate changes the password; the next hub logs in with the one it has.
	rotate := func(password string) {
		env.Restart()
		env.VCenter.SetPassword(password)
	}
	env.VCenter.SetPassword("second")
	second := s.hcl(env)
	env.VCenter.SetPassword("third")
	third := s.with(func(s *scene) { s.Workers["general"] = pool{Count: 2, CPU: 2, Memory: 4096, Disk: 20} }).hcl(env)
	env.VCenter.SetPassword(testkit.Password)
	run(t, env,
		resource.TestStep{Config: before, ConfigStateChecks: ready(2), ConfigPlanChecks: plans(plancheck.ResourceActionCreate)},
		resource.TestStep{ // Nothing but the account changes.
			PreConfig: func() { rotate("second") },
			Config:    version(second, "2"), ConfigStateChecks: ready(2),
			ConfigPlanChecks: plans(plancheck.ResourceActionNoop),
		},
		resource.TestStep{ // A change of the cluster is made once the account is right.
			PreConfig: func() { rotate("third") },
			Config:    version(third, "3"), ConfigStateChecks: ready(3),
			ConfigPlanChecks: plans(plancheck.ResourceActionUpdate),
		},
		resource.TestStep{ // Where the account stays wrong, what needs it says so.
			PreConfig:   func() { rotate("fourth") },
			Config:      version(second, "3"),
			ExpectError: regexp.MustCompile(`(?s)Unable to Preview Cluster.*refused the user name or\s+password`),
		},
		resource.TestStep{PreConfig: func() { rotate("third") }, Config: version(third, "3"), ConfigStateChecks: ready(3)},
	)
}
