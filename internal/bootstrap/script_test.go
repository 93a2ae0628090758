package bootstrap_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// rehearsal is a directory that stands for a machine, with commands that stand for its programs.
type rehearsal struct {
	t    *testing.T
	root string
	bin  string
	m    bootstrap.Machine
}

// rehearse writes a machine's files below a directory, as cloud-init would, and stand-ins for what the script calls.
func rehearse(t *testing.T, join cluster.JoinMode) rehearsal {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not on PATH: the script cannot be rehearsed")
	}
	r := rehearsal{t: t, root: t.TempDir(), bin: t.TempDir(), m: machine(join, "v1.34.1", shapes[1])}
	for path, content := range decode(t, r.m).files() {
		r.write(path, content)
	}
	for _, path := range []string{"user-data.txt", "user-data.txt.i", "cloud-config.txt", "obj.pkl"} {
		r.write("/var/lib/cloud/instance/"+path, "secret")
	}
	r.write("/run/containerd/containerd.sock", "")
	r.write("/etc/machine-id", "ours\n")
	r.command("vmware-rpctool", `printf '%s\n' "$*" >>"$REHEARSAL/reports"`)
	r.command("vmtoolsd", `exit 1`)
	r.command("ip", `echo "2: ens192 inet 10.0.0.21/24 scope global ens192"`)
	r.command("kubeadm", r.kubeadm("", 0))
	for _, name := range []string{"systemctl", "swapoff", "sleep", "timeout", "systemd-machine-id-setup"} {
		r.command(name, "exit 0")
	}
	return r
}

// kubeadm is a stand-in that says what kubeadm says, tokens included, and at the end last.
func (r rehearsal) kubeadm(last string, code int) string {
	token := fixedSecrets(r.t).Token
	return fmt.Sprintf(`case $1 in
version) echo v1.34.1; exit 0 ;;
init)
  cp "$3" "$REHEARSAL/ran-with"
  for tag in preflight certs kubeconfig etcd control-plane kubelet-start kubelet-check bootstrap-token addons; do
    echo "[$tag] working"
    echo "[$tag] still working"
  done
  echo "kubeadm join 10.0.0.10:6443 --token %[1]s --discovery-token-ca-cert-hash sha256:00" ;;
join)
  cp "$3" "$REHEARSAL/ran-with"
  echo "[preflight] Running pre-flight checks"
  echo "[kubelet-start] Starting the kubelet" ;;
esac
printf %%s '%[2]s'
exit %[3]d
`, token, last, code)
}

func (r rehearsal) write(path, content string) {
	r.t.Helper()
	path = filepath.Join(r.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

func (r rehearsal) command(name, body string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		r.t.Fatal(err)
	}
}

func (r rehearsal) read(path string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.root, path))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func (r rehearsal) exists(path string) bool {
	_, err := os.Stat(filepath.Join(r.root, path))
	return err == nil
}

// run runs the script as the payload's last command says and returns what it reported.
func (r rehearsal) run() ([]cluster.Progress, error) {
	r.t.Helper()
	command := decode(r.t, r.m).user.RunCmd[0]
	command[0] = filepath.Join(r.root, command[0])
	cmd := exec.CommandContext(r.t.Context(), "bash", command...)
	cmd.Env = []string{"PATH=" + r.bin + ":" + os.Getenv("PATH"), "PALETTE_ROOT=" + r.root, "REHEARSAL=" + r.root}
	out, err := cmd.CombinedOutput()
	if len(out) > 0 {
		r.t.Errorf("output outside the log: %s", out)
	}
	return r.reports(), err
}

func (r rehearsal) reports() []cluster.Progress {
	r.t.Helper()
	var reports []cluster.Progress
	for line := range strings.Lines(r.read("/reports")) {
		value, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "info-set "+cluster.ProgressKey+" ")
		if !ok {
			r.t.Fatalf("report %q is not under the progress key", line)
		}
		p, err := bootstrap.ParseProgress(value)
		if err != nil {
			r.t.Fatal(err)
		}
		reports = append(reports, p)
	}
	return reports
}

func TestScriptJoins(t *testing.T) {
	for _, join := range joins {
		t.Run(string(join), func(t *testing.T) {
			r := rehearse(t, join)
			reports, err := r.run()
			if err != nil {
				t.Fatalf("%v\n%s", err, r.read("/var/log/palette-bootstrap.log"))
			}
			phases := []string{bootstrap.PhaseBoot} // reported by the boot command, before the script
			for _, p := range reports {
				if p.HasFailed() {
					t.Errorf("reported %+v", p)
				}
				phases = append(phases, p.Phase)
			}
			if diff := cmp.Diff(bootstrap.Phases(join), slices.Compact(phases)); diff != "" {
				t.Error(diff)
			}
			if last := reports[len(reports)-1]; !last.HasJoined() {
				t.Errorf("last report is %+v", last)
			}
			if diff := cmp.Diff(decode(t, r.m).files()[kubeadmPath], r.read("/ran-with")); diff != "" {
				t.Error("kubeadm's configuration:", diff)
			}
			r.checkNothingIsLeft()
			r.checkKubeVIP()
		})
	}
}

// checkNothingIsLeft looks for secrets where the script may have left them.
func (r rehearsal) checkNothingIsLeft() {
	r.t.Helper()
	token := fixedSecrets(r.t).Token
	for _, path := range []string{
		"/run/palette", "/var/lib/cloud/instance/user-data.txt", "/var/lib/cloud/instance/user-data.txt.i",
		"/var/lib/cloud/instance/cloud-config.txt", "/var/lib/cloud/instance/obj.pkl",
	} {
		if r.exists(path) {
			r.t.Errorf("%s is left", path)
		}
	}
	for _, path := range []string{"/var/log/palette-bootstrap.log", "/reports"} {
		if strings.Contains(r.read(path), token) {
			r.t.Errorf("%s has the token", path)
		}
	}
	switch info, err := os.Stat(filepath.Join(r.root, "/var/log/palette-bootstrap.log")); {
	case err != nil:
		r.t.Error(err)
	case info.Mode().Perm() != 0o600:
		r.t.Errorf("the log can be read by others: %v", info.Mode())
	}
	if !r.exists("/var/lib/palette/bootstrap-success") {
		r.t.Error("success is not marked")
	}
}

// checkKubeVIP makes sure that kube-vip ends with ordinary rights everywhere.
func (r rehearsal) checkKubeVIP() {
	r.t.Helper()
	const manifest = "/etc/kubernetes/manifests/kube-vip.yaml"
	if r.m.Join == cluster.JoinWorker {
		if r.exists(manifest) {
			r.t.Error("a worker runs kube-vip")
		}
		return
	}
	if strings.Contains(r.read(manifest), "super-admin") {
		r.t.Error("kube-vip keeps super-admin rights")
	}
	if r.exists("/etc/kubernetes/.kube-vip.yaml") {
		r.t.Error("the move of the manifest was not finished")
	}
}

func TestScriptReportsFailures(t *testing.T) {
	token := fixedSecrets(t).Token
	for _, tt := range []struct {
		reason string
		join   cluster.JoinMode
		change func(rehearsal)
		phase  string
		text   string
	}{
		{
			"kubeadm init fails late; its output has separators, control characters and the token", cluster.JoinInit,
			func(r rehearsal) { r.command("kubeadm", r.kubeadm("a|b\tc "+token+" error: timed out\n", 1)) },
			bootstrap.PhaseAddons, "a/b c (token) error: timed out",
		},
		{
			"kubeadm join fails", cluster.JoinWorker,
			func(r rehearsal) { r.command("kubeadm", r.kubeadm("error: no route to host", 1)) },
			bootstrap.PhaseJoin, "error: no route to host",
		},
		{
			"a long log is cut", cluster.JoinWorker,
			func(r rehearsal) { r.command("kubeadm", r.kubeadm(strings.Repeat("x", 5000), 1)) },
			bootstrap.PhaseJoin, "xxx",
		},
		{
			"no address comes", cluster.JoinInit,
			func(r rehearsal) { r.command("ip", "exit 0") },
			bootstrap.PhaseNetwork, "no network card has got an address",
		},
		{
			"the endpoint does not answer", cluster.JoinControlPlane,
			func(r rehearsal) { r.command("timeout", "exit 124") },
			bootstrap.PhaseNetwork, "the API server at 10.0.0.10 port 6443 has not answered",
		},
		{
			"containerd does not start", cluster.JoinWorker,
			func(r rehearsal) { r.command("systemctl", `case "$*" in *is-active*) exit 3 ;; esac`) },
			bootstrap.PhaseRuntime, "containerd has not started",
		},
		{
			"a command fails without a word", cluster.JoinWorker,
			func(r rehearsal) { r.command("swapoff", "exit 4") },
			bootstrap.PhasePreflight, "a command failed with status 4",
		},
		{
			"the template is of another version", cluster.JoinWorker,
			func(r rehearsal) { r.command("kubeadm", "echo v1.33.2") },
			bootstrap.PhasePreflight, "the template has kubeadm v1.33.2, the cluster wants v1.34.1",
		},
		{
			"kubeadm is missing", cluster.JoinWorker,
			func(r rehearsal) { r.command("kubeadm", "echo kubeadm: not found >&2; exit 127") },
			bootstrap.PhasePreflight, "kubeadm: not found",
		},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			r := rehearse(t, tt.join)
			tt.change(r)
			reports, err := r.run()
			if err == nil {
				t.Error("the script says that it has succeeded")
			}
			last := reports[len(reports)-1]
			if !last.HasFailed() || last.Phase != tt.phase || !strings.Contains(last.Text, tt.text) {
				t.Errorf("last report is %+v", last)
			}
			if len(last.Text) > 600 {
				t.Errorf("it has %d bytes", len(last.Text))
			}
			if log := r.read("/var/log/palette-bootstrap.log"); strings.Contains(log+r.read("/reports"), token) {
				t.Error("the token was written down")
			}
			if r.exists("/var/lib/palette/bootstrap-success") {
				t.Error("success is marked")
			}
		})
	}
}

func TestScriptRunsOnce(t *testing.T) {
	r := rehearse(t, cluster.JoinInit)
	r.write("/var/lib/palette/bootstrap-success", "")
	reports, err := r.run()
	if err != nil {
		t.Fatal(err)
	}
	if r.exists("/ran-with") || len(reports) != 1 || !reports[0].HasJoined() {
		t.Errorf("a node was made a node again: %+v", reports)
	}
}

func TestScriptFallsBackToToolsDaemon(t *testing.T) {
	r := rehearse(t, cluster.JoinWorker)
	r.command("vmware-rpctool", "exit 1")
	r.command("vmtoolsd", `[ "$1" = --cmd ] && shift && printf '%s\n' "$*" >>"$REHEARSAL/reports"`)
	reports, err := r.run()
	if err != nil {
		t.Fatal(err)
	}
	if last := reports[len(reports)-1]; !last.HasJoined() {
		t.Errorf("last report is %+v", last)
	}
}

func TestScriptJoinsUnheard(t *testing.T) {
	r := rehearse(t, cluster.JoinWorker)
	r.command("vmware-rpctool", "exit 1")
	r.write("/reports", "")
	if _, err := r.run(); err != nil {
		t.Error("a machine without VMware Tools could not join:", err)
	}
}

func TestScriptRenewsMachineID(t *testing.T) {
	for _, tt := range []struct {
		reason string
		change func(rehearsal, string) error
		want   string
	}{
		{"one made at this boot stays", func(rehearsal, string) error { return nil }, "ours\n"},
		{"one from the template goes", func(_ rehearsal, path string) error {
			return exec.CommandContext(t.Context(), "touch", "-d", "2001-01-01", path).Run()
		}, "fresh\n"},
	} {
		r := rehearse(t, cluster.JoinWorker)
		r.command("systemd-machine-id-setup", `echo fresh >"$REHEARSAL/etc/machine-id"`)
		if err := tt.change(r, filepath.Join(r.root, "etc/machine-id")); err != nil {
			t.Fatal(err)
		}
		if _, err := r.run(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, r.read("/etc/machine-id")); diff != "" {
			t.Errorf("%s: %s", tt.reason, diff)
		}
	}
}

// TestScriptIsClean keeps the script free of shellcheck's findings, where it is installed.
func TestScriptIsClean(t *testing.T) {
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not on PATH")
	}
	if out, err := exec.CommandContext(t.Context(), shellcheck, "palette-bootstrap.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
