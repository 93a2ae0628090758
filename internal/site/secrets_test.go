package site_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
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
	if bytes.Contains(text, []byte(s.value)) {
		return "as it is"
	}
	if bytes.Contains(bytes.ToLower(text), []byte(hex.EncodeToString([]byte(s.value)))) {
		return "in hexadecimal"
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			if bytes.Contains(text, []byte(inside(encoding, s.value, before))) {
				return "in base64"
			}
		}
	}
	return ""
}

// inside is what base64 makes of a secret wherever it stands in what is encoded: each character is six bits, and those
// that also hold bits of what stands before or behind are left out.
func inside(encoding *base64.Encoding, value string, before int) string {
	encoded := encoding.EncodeToString(append(make([]byte, before), value...))
	return encoded[(before*8+5)/6 : (before+len(value))*8/6]
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
	tf.Setenv("PALETTE_TOKEN", wrongToken)
	if out, err := tf.Run("plan", "-input=false", "-no-color"); err == nil {
		t.Fatalf("a wrong token was accepted:\n%s", out)
	}
	secrets = append(secrets, secret{name: "a wrong token", value: wrongToken})
	secrets = append(secrets, keysOf(t, s)...)
	texts := map[string][]byte{"the answer to a used pairing token": []byte(refused)}
	collectMetrics(t, s, texts)
	collectAudit(t, s, texts)
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

const (
	wrongPassword = "n0t-the-Pa55word-at-all"
	wrongToken    = "palette_00000000_bm90LXRoZS10b2tlbi1hdC1hbGwtYnV0LWFzLWxvbmc"
)

// keysOf are the private keys that belong to one process alone.
func keysOf(t *testing.T, s *site.Site) []secret {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Replicas[0].Dir, "identity.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		TLS      []byte `json:"tls_key"`
		Identity []byte `json:"identity_key"`
		Sealing  []byte `json:"sealing_key"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	hub, err := os.ReadFile(s.Path("hub.secret"))
	if err != nil {
		t.Fatal(err)
	}
	gateways := []string{s.Replicas[0].Name + "/*", "spare/*"}
	found := []secret{
		{name: "a replica's TLS key", value: string(keys.TLS), belongs: gateways},
		{name: "a replica's identity key", value: string(keys.Identity), belongs: gateways},
		{name: "the gateway's sealing key", value: string(keys.Sealing), belongs: gateways},
		{name: "the hub's secret", value: string(hub), belongs: []string{"hub.secret"}},
		// Whatever has one: the cluster's authorities, the hub's.
		{name: "a private key", value: "PRIVATE KEY-----", belongs: []string{"hub.key", s.Replicas[0].Name + "/*", "spare/*"}},
	}
	for _, key := range found {
		if len(key.value) < 16 {
			t.Fatalf("there is no %s to look for", key.name)
		}
	}
	return found
}

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

func collectAudit(t *testing.T, s *site.Site, texts map[string][]byte) {
	t.Helper()
	entries, err := s.Client.Audit(t.Context(), 0, 1000)
	if err != nil || len(entries) == 0 {
		t.Fatalf("the audit log has %d entries: %v", len(entries), err)
	}
	if texts["the audit log"], err = json.Marshal(entries); err != nil {
		t.Fatal(err)
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

func TestSecretIsFound(t *testing.T) {
	looked := secret{value: "n0t-to-be-se3n?"}
	for before := range 4 {
		hidden := []byte(strings.Repeat("x", before) + looked.value + "yz")
		for form, text := range map[string][]byte{
			"as it is": hidden, "in base64": []byte(base64.StdEncoding.EncodeToString(hidden)),
			"in hexadecimal": []byte(strings.ToUpper(hex.EncodeToString(hidden))),
		} {
			if got := looked.found(text); got != form {
				t.Errorf("%s, with %d bytes before it: found %q", form, before, got)
			}
		}
	}
	if got := looked.found([]byte("n0t-to-be-seen?")); got != "" {
		t.Errorf("found %s where it is not", got)
	}
}
