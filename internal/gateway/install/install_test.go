package install_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/install"
)

var all = map[string]func(install.Options) string{
	"Commands": install.Commands, "Container": install.Container, "CloudInit": install.CloudInit, "Kubernetes": install.Kubernetes,
}

func options() map[string]install.Options {
	return map[string]install.Options{
		"Plain": {Hub: "https://hub.example.com", Name: "edge"},
		"Full": {
			Hub: "https://hub.example.com/x/", Name: "edge", Binary: "https://files.example.com/p", SHA256: strings.Repeat("ab", 32),
			Image: "registry.example.com/p:1", Token: "palette-pairing-1.abc", Proxy: "http://u:it's@proxy:3128",
			CA: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		},
	}
}

func TestTextsSayWhatWasGiven(t *testing.T) {
	for name, o := range options() {
		for text, render := range all {
			got := render(o)
			if !strings.Contains(got, strings.TrimSuffix(o.Hub, "/")) || strings.Contains(got, "<no value>") {
				t.Errorf("%s, %s: the hub is missing or something is left open:\n%s", name, text, got)
			}
			if text != "Commands" && text != "Container" && o.Token != "" && !strings.Contains(got, o.Token) {
				t.Errorf("%s, %s has no token", name, text)
			}
			if (text == "Commands" || text == "Container") && strings.Contains(got, "palette-pairing-1") {
				t.Errorf("%s, %s: a token would be in the shell's history", name, text)
			}
		}
	}
}

func TestDocumentsAreYAML(t *testing.T) {
	for name, o := range options() {
		for _, document := range append(strings.Split(install.Kubernetes(o), "\n---\n"), install.CloudInit(o)) {
			var v map[string]any
			if err := yaml.UnmarshalStrict([]byte(document), &v); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, document)
			}
		}
	}
}

func TestScriptsParse(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	for name, o := range options() {
		var document struct {
			Files []struct{ Path, Content string } `json:"write_files"`
		}
		if err := yaml.Unmarshal([]byte(install.CloudInit(o)), &document); err != nil {
			t.Fatal(err)
		}
		scripts := []string{install.Commands(o), install.Container(o)}
		for _, file := range document.Files {
			if strings.HasPrefix(file.Content, "#!/bin/sh") {
				scripts = append(scripts, file.Content)
			}
			if strings.HasSuffix(file.Path, ".service") && file.Content != install.SystemdUnit() {
				t.Errorf("%s: the unit in cloud-init is not the unit", name)
			}
		}
		if len(scripts) != 3 {
			t.Errorf("%s: cloud-init has no script", name)
		}
		for _, script := range scripts {
			check := exec.CommandContext(t.Context(), shell, "-n")
			check.Stdin = strings.NewReader(script)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s in\n%s", name, err, out, script)
			}
		}
	}
}

// TestPastedCommandsLeaveStandardInputToTheToken feeds the commands to a shell as a terminal does when somebody pastes them
// and then the token: no command after the pairing may be taken for the token.
func TestPastedCommandsLeaveStandardInputToTheToken(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	root := t.TempDir()
	stub := "#!/bin/sh\necho \"$(basename $0) $*\" >> " + root + "/calls\n"
	for name, program := range map[string]string{
		"curl": stub, "install": stub, "useradd": stub, "systemctl": stub, "id": stub, "rm": stub,
		"runuser": stub + "cat > " + root + "/token\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(program), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/palette-gateway"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/systemd/system"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := options()["Full"]
	o.SHA256 = ""
	text := strings.ReplaceAll(install.Commands(o), " /etc/", " "+root+"/etc/")
	pasted := exec.CommandContext(t.Context(), shell, "--norc", "--noprofile", "-i")
	pasted.Env = append(os.Environ(), "PATH="+root+":"+os.Getenv("PATH"), "HISTFILE=", "PS1=")
	pasted.Stdin = io.MultiReader(strings.NewReader(text), strings.NewReader("the-token\n"))
	if out, err := pasted.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	calls, err := os.ReadFile(filepath.Join(root, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(calls), "systemctl daemon-reload\nsystemctl enable --now palette-gateway.service\n") {
		t.Errorf("the gateway was not started after the pairing:\n%s", calls)
	}
	if token, err := os.ReadFile(filepath.Join(root, "token")); err != nil || string(token) != "the-token\n" {
		t.Errorf("taken for the token was %q (%v)", token, err)
	}
}

// TestRootTakesNothingFromASharedDirectory: what anybody can write to /tmp could be swapped between check and installation.
func TestRootTakesNothingFromASharedDirectory(t *testing.T) {
	for name, o := range options() {
		for text, render := range all {
			if got := render(o); strings.Contains(got, "/tmp/") {
				t.Errorf("%s, %s uses /tmp:\n%s", name, text, got)
			}
		}
	}
}

// TestContainerBelievesTheHub: the authorities that were given have to reach the container that pairs.
func TestContainerBelievesTheHub(t *testing.T) {
	o := options()["Full"]
	got := install.Container(o)
	if !strings.Contains(got, strings.TrimSpace(o.CA)) || !strings.Contains(got, "--ca-file") {
		t.Errorf("the authorities are missing in\n%s", got)
	}
	if got := install.Container(options()["Plain"]); strings.Contains(got, "--ca-file") {
		t.Errorf("there are no authorities to give, but:\n%s", got)
	}
}

// TestEnvironmentMeansTheSameToShellAndSystemd: the file is read by both, and a proxy's password may be anything.
func TestEnvironmentMeansTheSameToShellAndSystemd(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	for _, proxy := range []string{"http://u:it's@proxy:3128", `http://u:a&b$c;d"e\f` + "`g@proxy:3128", "http://u:a%20b*@proxy:3128"} {
		var document struct {
			Files []struct{ Path, Content string } `json:"write_files"`
		}
		if err := yaml.Unmarshal([]byte(install.CloudInit(install.Options{Hub: "https://hub", Name: "n", Proxy: proxy})), &document); err != nil {
			t.Fatal(err)
		}
		for _, file := range document.Files {
			if file.Path != "/etc/palette-gateway/environment" {
				continue
			}
			path := filepath.Join(t.TempDir(), "environment")
			if err := os.WriteFile(path, []byte(file.Content), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), shell, "-euc", `. "$0"; printf %s "$HTTPS_PROXY"`, path).Output()
			if err != nil || string(out) != proxy {
				t.Errorf("the shell reads %q, want %q (%v) in\n%s", out, proxy, err, file.Content)
			}
			// systemd knows these four escapes in double quotes, and in an unquoted value none of the shell's quoting.
			if value := `HTTPS_PROXY="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(proxy) + `"`; !strings.Contains(file.Content, value) {
				t.Errorf("systemd would not read %s in\n%s", value, file.Content)
			}
		}
	}
}

// TestReleasePublishesTheImage: the texts name an image that a release makes, with the tag that it gets.
func TestReleasePublishesTheImage(t *testing.T) {
	text, err := os.ReadFile("../../../.goreleaser.yml")
	if err != nil {
		t.Fatal(err)
	}
	var release struct {
		Dockers []struct{ Images, Tags []string } `json:"dockers_v2"`
	}
	if err := yaml.Unmarshal(text, &release); err != nil || len(release.Dockers) != 1 {
		t.Fatalf("the release makes %d images (%v)", len(release.Dockers), err)
	}
	image, tags := release.Dockers[0].Images[0], release.Dockers[0].Tags
	if !slices.Contains(tags, "{{ .Version }}") {
		t.Errorf("the image has the tags %q", tags)
	}
	for _, render := range []func(install.Options) string{install.Container, install.Kubernetes} {
		got := render(install.Options{Hub: "https://hub", Name: "n", Version: "1.2.3"})
		if !strings.Contains(got, image+":1.2.3") {
			t.Errorf("%s:1.2.3 is not named in\n%s", image, got)
		}
	}
}

// TestUnitIsHardened asks systemd itself, where it is there.
func TestUnitIsHardened(t *testing.T) {
	systemd, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	path := filepath.Join(t.TempDir(), "palette-gateway.service")
	if err := os.WriteFile(path, []byte(install.SystemdUnit()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), systemd, "security", "--offline=true", "--threshold=20", path).CombinedOutput()
	if err != nil && strings.Contains(string(out), "exposure level") {
		t.Errorf("the unit is exposed more than 2.0: %s", out[max(0, len(out)-300):])
	}
}
