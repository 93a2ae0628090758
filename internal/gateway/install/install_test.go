package install_test

import (
	"os"
	"os/exec"
	"path/filepath"
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
