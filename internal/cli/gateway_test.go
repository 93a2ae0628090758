package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// gatewayRun runs a gateway command and returns what it prints.
func gatewayRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Run(t.Context(), "1.2.3", append([]string{"gateway"}, args...), &out)
	return out.String(), err
}

func TestRecoveryKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "recovery.key")
	out, err := gatewayRun(t, "recovery-key", "new", "-o", path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key's file: %v, %v", info.Mode(), err)
	}
	public, err := base64.StdEncoding.DecodeString(strings.TrimSpace(out))
	if err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	key, err := readRecoveryKey(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Seal(public, seal.Binding{}, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := key.Open(seal.Binding{}, sealed); err != nil || string(text) != "x" {
		t.Errorf("the halves do not fit: %v", err)
	}
	if _, err := gatewayRun(t, "recovery-key", "new", "-o", path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key was written over: %v", err)
	}
}

// TestPairErrorsKeepTheToken shows that no error repeats a pairing token.
func TestPairErrorsKeepTheToken(t *testing.T) {
	token := hubapi.PairingToken{
		ID: uuid.NewString(), Gateway: uuid.NewString(), Project: "default", Secret: hubapi.NewSecret(), Pin: hubapi.NewSecret(),
		Introduction: hubapi.NewSecret(),
	}.String()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	public, empty := filepath.Join(t.TempDir(), "public"), filepath.Join(t.TempDir(), "empty")
	for path, text := range map[string]string{public: base64.StdEncoding.EncodeToString(make([]byte, 1184)), empty: ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	none := "http://127.0.0.1:9" // the port of those who discard
	cases := map[string]struct {
		reason string
		env    string
		args   []string
		says   string
	}{
		"Nothing":     {"there is no token", "", []string{"--hub", none}, "no pairing token"},
		"Twice":       {"two tokens", "", []string{"--hub", none, "--token", token, "--token-file", file}, "once"},
		"Damaged":     {"half a token", "", []string{"--hub", none, "--token", token[:60]}, "damaged"},
		"NoToken":     {"something else", "", []string{"--hub", none, "--token", "hunter2hunter2"}, "begins with"},
		"Environment": {"nobody answers", token, []string{"--hub", none}, "dialling"},
		"File":        {"nobody answers", "", []string{"--hub", none, "--token-file", file}, "dialling"},
		"NoHub":       {"there is no hub", token, nil, "--hub"},
		"Proxy":       {"a proxy that is none", token, []string{"--hub", none, "--proxy", "hunter2:hunter2@%%"}, "proxy"},
		"CA":          {"a CA file that is none", token, []string{"--hub", none, "--ca-file", file}, "CA file"},
		"PublicHalf":  {"the recovery key's other half", token, []string{"--hub", none, "--recovery-key-file", public}, "private half"},
		"EmptyKey":    {"a recovery key that was not saved", token, []string{"--hub", none, "--recovery-key-file", empty}, "recovery key"},
		"Recovery":    {"a recovery key that is none", token, []string{"--hub", none, "--recovery-key-file", file}, "recovery key"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvPairingToken, tc.env)
			t.Setenv("PALETTE_HUB", "")
			args := append([]string{"pair", "--data-dir", filepath.Join(t.TempDir(), "gw")}, tc.args...)
			_, err := gatewayRun(t, args...)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if strings.Contains(err.Error(), token[20:60]) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: the error repeats a secret: %v", tc.reason, err)
			}
		})
	}
}

func TestGatewayWithoutIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gw")
	for _, args := range [][]string{
		{"run", "--data-dir", dir},
		{"status", "--data-dir", dir},
		{"run", "--data-dir", dir, "--policy", "/does/not/exist"},
		{"run", "--data-dir", dir, "--log-level", "loud"},
	} {
		if _, err := gatewayRun(t, args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestInstallTexts(t *testing.T) {
	for kind := range installTexts {
		out, err := gatewayRun(t, "install", kind, "--hub", "https://hub.example.com", "--name", "edge")
		if err != nil || !strings.Contains(out, "gateway") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := gatewayRun(t, "install", "windows", "--hub", "https://hub.example.com"); err == nil {
		t.Error("an unknown kind is no error")
	}
	if _, err := gatewayRun(t, "install", "commands"); err == nil {
		t.Error("no hub is no error")
	}
}
