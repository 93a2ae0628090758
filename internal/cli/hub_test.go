package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// output is what a command prints, which can be read while it runs.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
	// wrote gets a token at each write.
	wrote chan struct{}
}

func newOutput() *output { return &output{wrote: make(chan struct{}, 1)} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.wrote <- struct{}{}:
	default:
	}
	return o.buf.Write(p)
}

// find waits for what the expression finds.
func (o *output) find(t *testing.T, expression string) string {
	t.Helper()
	re, deadline := regexp.MustCompile(expression), time.After(20*time.Second)
	for {
		o.mu.Lock()
		found := re.FindStringSubmatch(o.buf.String())
		o.mu.Unlock()
		if found != nil {
			return found[1]
		}
		select {
		case <-o.wrote:
		case <-deadline:
			t.Fatalf("%s was not printed", expression)
		}
	}
}

// run runs a command to its end.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), "1.2.3", args, &out)
	return strings.TrimSpace(out.String()), err
}

func TestHub(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hub")
	out := newOutput()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Run(ctx, "1.2.3", []string{
			"hub", "run", "--listen", "127.0.0.1:0", "--data-dir", dir, "--system-gateway", "--log-level", "error",
		}, out)
	}()
	endpoint := out.find(t, `listens at (https://\S+)`)
	out.find(t, `(hub token create --data-dir \S+ --project default --role admin)`)
	token, err := run(t, "hub", "token", "create", "--data-dir", dir, "--role", "viewer", "--name", "ci", "--expires", "1h")
	if err != nil || !strings.HasPrefix(token, "palette_") || strings.ContainsAny(token, " \n") {
		t.Fatalf("made %q, %v", token, err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := hubapi.NewClient(hubapi.Config{Endpoint: endpoint, Token: token, CACertificate: string(ca)})
	if err != nil {
		t.Fatal(err)
	}
	if g, err := client.Gateway(t.Context(), hubapi.SystemGatewayID); err != nil || !g.System || g.Status.PublicKey == "" {
		t.Errorf("the system gateway: %+v, %v", g, err)
	}
	list, err := run(t, "hub", "token", "list", "--data-dir", dir)
	id := strings.Split(token, "_")[1]
	if err != nil || !strings.Contains(list, id) || !strings.Contains(list, "ci") || strings.Contains(list, token[len(token)-20:]) {
		t.Errorf("listed %s, %v", list, err)
	}
	admin, err := run(t, "hub", "token", "create", "--data-dir", dir, "--role", "admin")
	if err != nil {
		t.Fatal(err)
	}
	auditor, err := hubapi.NewClient(hubapi.Config{Endpoint: endpoint, Token: admin, CACertificate: string(ca)})
	if err != nil {
		t.Fatal(err)
	}
	// The reading is itself kept, by the hub, between what the commands keep.
	entries, err := auditor.Audit(t.Context(), 0, 0)
	if err != nil || len(entries) != 2 || entries[0].Object != id || !strings.HasPrefix(entries[0].Actor, "command") {
		t.Errorf("the audit log has %+v, %v", entries, err)
	}
	if text, err := run(t, "hub", "token", "revoke", "--data-dir", dir, id); err != nil || !strings.Contains(text, "revoked at") {
		t.Errorf("revoked %s, %v", text, err)
	}
	if _, err := client.Gateway(t.Context(), hubapi.SystemGatewayID); err == nil {
		t.Error("a revoked token is good for a hub that runs")
	}
	if text, err := run(t, "hub", "audit", "verify", "--data-dir", dir); err != nil || !strings.Contains(text, "as it was written") {
		t.Errorf("verified %s, %v", text, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the hub ended with: %v", err)
	}
}

func TestHubCommandsRefuse(t *testing.T) {
	dir := t.TempDir()
	for reason, args := range map[string][]string{
		"an odd role":              {"hub", "token", "create", "--data-dir", dir, "--role", "root"},
		"an odd project":           {"hub", "token", "create", "--data-dir", dir, "--project", "../x"},
		"a project and all":        {"hub", "token", "create", "--data-dir", dir, "--project", "a", "--all-projects"},
		"a token that is not":      {"hub", "token", "revoke", "--data-dir", dir, "6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001"},
		"no token":                 {"hub", "token", "revoke", "--data-dir", dir},
		"an odd level":             {"hub", "run", "--data-dir", dir, "--log-level", "loud"},
		"an odd proxy":             {"hub", "run", "--data-dir", dir, "--trust-proxy", "somewhere"},
		"plain with a certificate": {"hub", "run", "--data-dir", dir, "--plain-http", "--tls-cert", "a", "--tls-key", "b"},
		"something else":           {"hub", "run", "something"},
	} {
		if out, err := run(t, args...); err == nil {
			t.Errorf("%s: %s", reason, out)
		}
	}
}

// TestTokensAreMadeWhereAHubIs: a directory that was misspelt would get records of its own, with a token that no hub knows.
func TestTokensAreMadeWhereAHubIs(t *testing.T) {
	for _, command := range [][]string{{"token", "create"}, {"token", "list"}, {"audit", "verify"}} {
		dir := filepath.Join(t.TempDir(), "misspelt")
		out, err := run(t, append(append([]string{"hub"}, command...), "--data-dir", dir)...)
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v: %s, %v", command, out, err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%v made the directory", command)
		}
	}
}

func TestHubOpenAPI(t *testing.T) {
	out, err := run(t, "hub", "openapi")
	if err != nil || !strings.Contains(out, `"version": "1.2.3"`) {
		t.Errorf("printed %.100s, %v", out, err)
	}
}
