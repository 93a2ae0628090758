package site

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Terraform is a configuration in a directory of its own, and the CLI that works on it from outside.
type Terraform struct {
	site *Site
	tb   testing.TB
	cli  string
	name string
	env  []string
	// Dir is where the configuration and the state are.
	Dir string
	// Trace is the file of what Terraform and the provider log, at the level TRACE.
	Trace string
	runs  int
}

// NewTerraform makes a directory with a configuration.
func (s *Site) NewTerraform(config string) *Terraform {
	s.tb.Helper()
	t := s.newTerraform("terraform")
	t.Configure(config)
	return t
}

// NewExample makes a directory with the files of an example.
func (s *Site) NewExample(dir string) *Terraform {
	s.tb.Helper()
	t := s.newTerraform(filepath.Base(dir))
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil || len(files) == 0 {
		s.tb.Fatalf("there is no example in %s: %v", dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			s.tb.Fatal(err)
		}
		write(s.tb, filepath.Join(t.Dir, filepath.Base(file)), text)
	}
	return t
}

// newTerraform makes an empty directory. The provider's settings are in the environment, as CI has them.
func (s *Site) newTerraform(name string) *Terraform {
	s.tb.Helper()
	t := &Terraform{site: s, tb: s.tb, cli: terraformCLI(s.tb), name: name, Dir: filepath.Join(s.dir, name)}
	t.Trace = filepath.Join(t.Dir, "trace.log")
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		s.tb.Fatal(err)
	}
	// The provider that was just built stands in for the registry's, so nothing has to be installed by "init".
	rc := filepath.Join(t.Dir, "cli.tfrc")
	write(s.tb, rc, fmt.Appendf(nil, `provider_installation {
  dev_overrides {
    "terraform-provider-palette/palette" = %q
  }
  direct {}
}
`, filepath.Dir(Binary(s.tb))))
	t.env = []string{
		"TF_CLI_CONFIG_FILE=" + rc, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
		"TF_LOG=TRACE", "TF_LOG_PATH=" + t.Trace,
		"PALETTE_ENDPOINT=" + s.Endpoint(), "PALETTE_TOKEN=" + s.Token, "PALETTE_CA_CERTIFICATE=" + s.CACertificate(),
		"TF_VAR_vcenter_password=" + s.VCenter.Password(),
	}
	return t
}

// terraformCLI is the CLI that the Makefile has chosen, else the one on PATH.
func terraformCLI(tb testing.TB) string {
	tb.Helper()
	if cli := os.Getenv("TF_ACC_TERRAFORM_PATH"); cli != "" {
		return cli
	}
	for _, name := range []string{"terraform", "tofu"} {
		if cli, err := exec.LookPath(name); err == nil {
			return cli
		}
	}
	tb.Skip("there is no Terraform CLI on PATH, and TF_ACC_TERRAFORM_PATH names none")
	return ""
}

// Configure replaces the configuration.
func (t *Terraform) Configure(config string) {
	t.tb.Helper()
	write(t.tb, filepath.Join(t.Dir, "main.tf"), []byte(`terraform {
  required_providers {
    palette = { source = "terraform-provider-palette/palette" }
  }
}
`+config))
}

// Setenv sets an environment variable for the runs to come.
func (t *Terraform) Setenv(name, value string) { t.env = append(t.env, name+"="+value) }

// Start runs a command of the CLI in the background.
func (t *Terraform) Start(args ...string) *Process {
	t.tb.Helper()
	t.runs++
	command := slices.Concat([]string{t.cli, "-chdir=" + t.Dir}, args)
	p := newProcess(t.tb, t.site.outside, fmt.Sprintf("%s-%d", t.name, t.runs), t.site.dir, command, t.env...)
	p.Start()
	return p
}

// Run runs a command of the CLI to its end and returns what it printed.
func (t *Terraform) Run(args ...string) (string, error) {
	t.tb.Helper()
	p := t.Start(args...)
	err := p.Wait(workLimit)
	return p.Log(), err
}

// Apply applies the configuration, which has to succeed.
func (t *Terraform) Apply() string {
	t.tb.Helper()
	out, err := t.Run("apply", "-auto-approve", "-input=false", "-no-color")
	if err != nil {
		t.tb.Fatalf("apply: %v\n%s", err, out)
	}
	return out
}

// StartApply applies the configuration in the background.
func (t *Terraform) StartApply() *Process {
	t.tb.Helper()
	return t.Start("apply", "-auto-approve", "-input=false", "-no-color")
}

// Settled asserts that an apply ended well and left nothing to do.
func (t *Terraform) Settled(reason string, apply *Process) {
	t.tb.Helper()
	began := time.Now()
	if err := apply.Wait(workLimit); err != nil {
		t.tb.Fatalf("%s: apply: %v\n%s", reason, err, apply.Log())
	}
	t.site.Took("waited for the apply", began)
	if out, err := t.Run("plan", "-detailed-exitcode", "-input=false", "-no-color"); err != nil {
		t.tb.Fatalf("%s: after the apply something is left to do: %v\n%s", reason, err, out)
	}
}

// Output returns an output's text.
func (t *Terraform) Output(name string) string {
	t.tb.Helper()
	out, err := t.Run("output", "-raw", name)
	if err != nil {
		t.tb.Fatalf("output %s: %v\n%s", name, err, out)
	}
	return out
}

// Destroy destroys what the configuration made, which has to succeed.
func (t *Terraform) Destroy() {
	t.tb.Helper()
	if out, err := t.Run("destroy", "-auto-approve", "-input=false", "-no-color"); err != nil {
		t.tb.Fatalf("destroy: %v\n%s", err, out)
	}
}

// Progress is what the provider logged of how a cluster comes along, at the level INFO.
func (t *Terraform) Progress() []string {
	t.tb.Helper()
	text, err := os.ReadFile(t.Trace)
	if err != nil {
		t.tb.Fatal(err)
	}
	var events []string
	for line := range strings.Lines(string(text)) {
		if found := progress.FindStringSubmatch(line); found != nil {
			event, err := strconv.Unquote(found[1])
			if err != nil {
				t.tb.Fatalf("the provider logged %s: %v", line, err)
			}
			events = append(events, event)
		}
	}
	return events
}

// progress is a line of Terraform's log with an event of a cluster.
var progress = regexp.MustCompile(`\[INFO\] .*: cluster progress: .*\bevent=("(?:[^"\\]|\\.)*")`)

// ClusterConfig is the site's account, pool and cluster as a configuration, on the gateway with the given id.
func (s *Site) ClusterConfig(workers int) string {
	return fmt.Sprintf(`
variable "vcenter_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

variable "password_version" {
  type    = number
  default = 1
}

resource "palette_cloud_account" "this" {
  name                = "lab"
  gateway_id          = %[1]q
  vcenter             = %[2]q
  username            = %[3]q
  password_wo         = var.vcenter_password
  password_wo_version = var.password_version
  ca_certificate      = <<-EOT
%[4]s
  EOT
}

resource "palette_ip_pool" "nodes" {
  name             = %[5]q
  gateway_id       = %[1]q
  ranges           = [{ start = "10.20.120.50", end = "10.20.120.99" }]
  prefix           = 24
  gateway          = "10.20.120.1"
  name_servers     = ["10.20.0.53"]
  cooldown_seconds = 0
}

locals {
  placement = {
    compute_cluster = "prod-a"
    datastore       = "vsan-prod"
    networks        = ["pg-k8s-120"]
    ip_pool_id      = palette_ip_pool.nodes.id
  }
}

resource "palette_vmware_cluster" "this" {
  name                   = %[6]q
  cloud_account_id       = palette_cloud_account.this.id
  kubernetes_version     = "v1.34.1"
  datacenter             = "dc-north"
  folder                 = "k8s/crash"
  template               = "ubuntu-2404-kube-v1.34.1"
  control_plane_endpoint = { host = "10.20.120.10" }
  deletion_protection    = false

  control_plane = {
    count      = 1
    cpu        = 2
    memory_mib = 4096
    disk_gib   = 20
    placements = [local.placement]
  }

  worker_pools = {
    general = {
      count      = %[7]d
      cpu        = 2
      memory_mib = 4096
      disk_gib   = 20
      placements = [local.placement]
    }
  }
}
`, s.GatewayID, s.VCenterHost, s.VCenter.Username(), s.VCenter.CACertificate(),
		PoolName, ClusterName, workers)
}
