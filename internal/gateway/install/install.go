// Package install owns the texts by which a gateway is installed: commands for a shell, a cloud-init document, a systemd unit
// and a Kubernetes manifest. The provider shows them and the command line prints them. It is pure: texts in, texts out.
package install

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

// TokenPlaceholder stands where the pairing token belongs in texts that were made without one.
const TokenPlaceholder = "PASTE-THE-PAIRING-TOKEN-HERE"

// Options say what a gateway is installed with.
type Options struct {
	// Hub is the hub's URL.
	Hub string
	// Name is the gateway's name.
	Name string
	// Binary is the URL of the program for the gateway's machine; "" is where the hub serves its own.
	Binary string
	// SHA256 is the program's digest in hex; "" leaves it unchecked.
	SHA256 string
	// Image is the container image; "" is the one of the release.
	Image string
	// Version is that of the program, without a v; "" is the latest.
	Version string
	// Token is the pairing token. A text that has it is a secret.
	Token string
	// Proxy is the proxy to the hub, and CA the authorities, in PEM, that the hub's URL is believed by; both may be "".
	Proxy string
	CA    string
}

// BinaryPath is where a hub serves the program it is, for gateways of its own platform.
const BinaryPath = "/v1/downloads/gateway"

const defaultImage = "ghcr.io/terraform-provider-palette/terraform-provider-palette"

//go:embed palette-gateway.service
var unit string

// SystemdUnit is the hardened unit of a gateway.
func SystemdUnit() string { return unit }

// Commands are what a person pastes into a shell of the gateway's machine, as root.
func Commands(o Options) string { return render(commands, o) }

// Container are the commands that run a gateway in a container.
func Container(o Options) string { return render(container, o) }

// CloudInit is the user data of a machine that becomes a gateway by itself.
func CloudInit(o Options) string { return render(cloudInit, o) }

// Kubernetes is the manifest of a gateway that runs in a cluster: a StatefulSet, because each replica keeps an identity.
func Kubernetes(o Options) string { return render(kubernetes, o) }

var functions = template.FuncMap{
	"quote": quote, "indent": indent, "json": yamlString, "setting": setting, "trim": strings.TrimSpace, "unit": SystemdUnit,
}

// parse reads one of the templates below; they are constants, and a test renders each.
func parse(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(functions).Option("missingkey=error").Parse(strings.TrimLeft(text, "\n")))
}

func render(t *template.Template, o Options) string {
	if o.Binary == "" {
		o.Binary = strings.TrimSuffix(o.Hub, "/") + BinaryPath
	}
	if o.Image == "" {
		o.Image = defaultImage + ":" + tag(o.Version)
	}
	if o.Token == "" {
		o.Token = TokenPlaceholder
	}
	var text strings.Builder
	if err := t.Execute(&text, o); err != nil {
		panic(err) // the templates are ours, and each is rendered in a test
	}
	return text.String()
}

func tag(version string) string {
	if version == "" {
		return "latest"
	}
	return version
}

// quote makes one word of a shell of a text, whatever is in it.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// setting writes the value of a variable in a file that both a shell and systemd read: double quotes, in which both know the
// same four escapes.
func setting(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(text) + `"`
}

// yamlString writes a text as a double-quoted YAML scalar.
func yamlString(text string) string { return fmt.Sprintf("%q", text) }

func indent(spaces int, text string) string {
	pad := strings.Repeat(" ", spaces)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = pad + line
		}
	}
	return strings.Join(lines, "\n")
}
