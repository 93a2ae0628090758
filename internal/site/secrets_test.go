package site_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

// secret is something that must not be readable anywhere but where it belongs.
type secret struct {
	name, value string
	// belongs are the files in which it may stand, as patterns of filepath.Match for their names in the site's directory.
	belongs []string
}

// found returns in which of its usual forms a secret stands in a text.
func (s secret) found(text []byte) string {
	forms := map[string]string{
		"as it is":           s.value,
		"in base64":          strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(s.value)), "="),
		"in URL-safe base64": base64.RawURLEncoding.EncodeToString([]byte(s.value)),
		"in hexadecimal":     hex.EncodeToString([]byte(s.value)),
	}
	for form, looked := range forms {
		if bytes.Contains(text, []byte(looked)) {
			return form
		}
	}
	return ""
}

// TestSiteSecrets runs a whole scenario with everything logged, errors included, and then looks for its
// secrets in all that was written: logs, records, state, plan, metrics and support bundle.
func TestSiteSecrets(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	s := site.New(t, site.Options{
		VCenter: unhurried, Bare: true,
		HubArgs: []string{"--log-level", "debug"}, GatewayArgs: []string{"--log-level", "debug"},
	})
	secrets := []secret{
		{name: "the vCenter's password", value: s.VCenter.Password()},
		{name: "an API token", value: s.Token[strings.LastIndexByte(s.Token, '_')+1:]},
		{name: "a wrong password", value: wrongPassword},
	}
	s.AddGateway()
	refused, pairing := pairTwice(t, s)
	for name, part := range map[string][]byte{"a pairing token's secret": pairing.Secret, "a pairing token's introduction": pairing.Introduction} {
		secrets = append(secrets, secret{name: name, value: string(part), belongs: []string{"spare.token", "spare/*"}})
	}
	secrets = append(secrets, secret{name: "a pairing token", value: pairing.String(), belongs: []string{"spare.token"}})

	tf := s.NewTerraform(s.ClusterConfig(1))
	planned, err := tf.Run("plan", "-out=plan", "-input=false", "-no-color")
	if err != nil {
		t.Fatalf("plan: %v\n%s", err, planned)
	}
	tf.Apply()
	tf.Setenv("TF_VAR_vcenter_password", wrongPassword)
	tf.Setenv("TF_VAR_password_version", "2")
	if out, err := tf.Run("apply", "-auto-approve", "-input=false", "-no-color"); err == nil {
		t.Fatalf("a wrong password was accepted:\n%s", out)
	}
	texts := map[string][]byte{"the answer to a used pairing token": []byte(refused)}
	collectMetrics(t, s, texts)
	collectBundle(t, s, texts)
	collectFiles(t, s.Path("."), texts)
	for where, text := range texts {
		for _, secret := range secrets {
			if form := secret.found(text); form != "" && !secret.mayStandIn(where) {
				t.Errorf("%s stands %s in %s", secret.name, form, where)
			}
		}
	}
	t.Logf("looked for %d secrets in %d places", len(secrets), len(texts))
}

const wrongPassword = "n0t-the-Pa55word-at-all"

func (s secret) mayStandIn(where string) bool {
	for _, pattern := range s.belongs {
		if ok, err := filepath.Match(pattern, where); ok && err == nil {
			return true
		}
	}
	return false
}

// pairTwice pairs a replica that does not run, and tries its token again. It returns what that was answered.
func pairTwice(t *testing.T, s *site.Site) (refused string, token hubapi.PairingToken) {
	t.Helper()
	token, _, err := s.Client.Pair(t.Context(), s.GatewayID, hubapi.PairOptions{ID: uuid.NewString()})
	if err != nil {
		t.Fatal(err)
	}
	s.Pair("spare", token.String())
	refused, err = s.TryPair("second", token.String())
	if err == nil {
		t.Fatalf("a pairing token was good twice:\n%s", refused)
	}
	if err := os.Remove(s.Path("second.token")); err != nil {
		t.Fatal(err)
	}
	return refused, token
}

func collectMetrics(t *testing.T, s *site.Site, texts map[string][]byte) {
	t.Helper()
	for _, hub := range s.Hubs {
		text, err := hub.Metrics()
		if err != nil {
			t.Fatalf("the hub's metrics: %v", err)
		}
		texts["the hub's metrics"] = []byte(text)
	}
	for _, replica := range s.Replicas {
		text, err := replica.Metrics()
		if err != nil {
			t.Fatalf("the gateway's metrics: %v", err)
		}
		texts["the gateway's metrics"] = []byte(text)
	}
}

func collectBundle(t *testing.T, s *site.Site, texts map[string][]byte) {
	t.Helper()
	for name, text := range s.SupportBundle(s.Replicas[0]) {
		texts["support bundle: "+name] = text
	}
}

// collectFiles reads everything in the site's directory.
func collectFiles(t *testing.T, root string, texts map[string][]byte) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		texts[name] = text
		return unpack(name, text, texts)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// unpack adds what is in a ZIP archive, such as a plan.
func unpack(name string, text []byte, texts map[string][]byte) error {
	if !bytes.HasPrefix(text, []byte("PK\x03\x04")) {
		return nil
	}
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return err
	}
	for _, member := range archive.File {
		content, err := member.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		texts[name+": "+member.Name] = text
	}
	return nil
}
