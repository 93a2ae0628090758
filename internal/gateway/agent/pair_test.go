package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

func newDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "gw")
}

// nothingKept fails unless a pairing that came to nothing has left no identity.
func nothingKept(t *testing.T, dir string) {
	t.Helper()
	if _, err := readIdentity(dir); !errors.Is(err, ErrNotPaired) {
		t.Errorf("an identity was kept: %v", err)
	}
}

func TestRefusalSaysWhy(t *testing.T) {
	hub := newFakeHub(t)
	hub.enrolled = func(gatewayapi.Enrolment) *hubapi.Problem {
		return hubapi.NewProblem(hubapi.CodeUnauthorized, "the pairing token expired at noon\x1b[31m").WithHint("Make a new one.")
	}
	dir := newDir(t)
	_, err := hub.pair(dir)
	refused, ok := errors.AsType[*RefusedError](err)
	if !ok || refused.Problem.Code != hubapi.CodeUnauthorized {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"expired at noon", "Make a new one"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "\x1b") {
		t.Error("the hub writes to the terminal what it wants")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestGrantsThatAreRefused shows what a hub cannot make a gateway take.
func TestGrantsThatAreRefused(t *testing.T) {
	hub := newFakeHub(t)
	stranger := newAuthority(t)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	foreignCSR, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	csr := func() []byte { return hub.enrolment[len(hub.enrolment)-1].CSR }
	soon := time.Now().Add(time.Hour)
	cases := map[string]struct {
		reason string
		lie    func(*gatewayapi.Grant)
	}{
		"Gateway": {"another gateway than the token's", func(g *gatewayapi.Grant) {
			g.Gateway = uuid.NewString()
			g.Certificate = hub.ca.replica(csr(), g.Project, g.Gateway, g.Replica, soon)
		}},
		"Project": {"another project than the token's", func(g *gatewayapi.Grant) {
			g.Project = "other"
			g.Certificate = hub.ca.replica(csr(), g.Project, g.Gateway, g.Replica, soon)
		}},
		"Replica": {"an id that is none", func(g *gatewayapi.Grant) { g.Replica = "../../etc/passwd" }},
		"Name": {"a certificate in another name", func(g *gatewayapi.Grant) {
			g.Certificate = hub.ca.replica(csr(), g.Project, g.Gateway, uuid.NewString(), soon)
		}},
		"Key": {"a certificate for another key", func(g *gatewayapi.Grant) {
			g.Certificate = hub.ca.replica(foreignCSR, g.Project, g.Gateway, g.Replica, soon)
		}},
		"Issuer": {"a certificate of another authority", func(g *gatewayapi.Grant) {
			g.Certificate = stranger.replica(csr(), g.Project, g.Gateway, g.Replica, soon)
		}},
		"Bundle": {"another authority than the token's", func(g *gatewayapi.Grant) {
			g.CA = stranger.pem()
			g.Certificate = stranger.replica(csr(), g.Project, g.Gateway, g.Replica, soon)
		}},
		"Both": {"an authority beside the token's", func(g *gatewayapi.Grant) {
			g.CA = append(hub.ca.pem(), stranger.pem()...)
			g.Certificate = stranger.replica(csr(), g.Project, g.Gateway, g.Replica, soon)
		}},
		"Expired": {"a certificate that has ended", func(g *gatewayapi.Grant) {
			g.Certificate = hub.ca.replica(csr(), g.Project, g.Gateway, g.Replica, time.Now().Add(-time.Minute))
		}},
		"Garbage":  {"no certificate", func(g *gatewayapi.Grant) { g.Certificate = []byte("x") }},
		"NoBundle": {"no authority", func(g *gatewayapi.Grant) { g.CA = nil }},
		"Sealed":   {"a key that nobody vouches for", func(g *gatewayapi.Grant) { g.SealedKey = substitute(t, hub, g, "transfer") }},
		"Escrow":   {"a key to recover, without a recovery key", func(g *gatewayapi.Grant) { g.Escrow = []byte{1, 2, 3} }},
		"Recovery": {"a recovery key that the token does not name", func(g *gatewayapi.Grant) { g.RecoveryKey = "AAAA" }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			hub.grant = tc.lie
			dir := newDir(t)
			if _, err := hub.pair(dir); err == nil {
				t.Errorf("%s was taken", tc.reason)
			}
			nothingKept(t, dir)
		})
	}
}

// substitute is a sealing key that the hub made, sealed to the applicant's transfer key, as any hub can.
func substitute(t *testing.T, hub *fakeHub, g *gatewayapi.Grant, _ string) []byte {
	t.Helper()
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	private, _ := key.Bytes()
	proof := hub.enrolment[len(hub.enrolment)-1].Pairing
	sealed, err := seal.Seal(proof.TransferKey, gatewayapi.TransferBinding(g.Project, g.Gateway, proof.ID),
		gatewayapi.VouchKey(hubapi.NewSecret(), proof.ID, private))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestGrantTakenBack shows that a refusal after the grant leaves nothing, and the identity that was there before a
// replacement as it was.
func TestGrantTakenBack(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	first, err := hub.pair(dir)
	if err != nil {
		t.Fatal(err)
	}
	hub.afterward = func(c *gatewayapi.Client, _ gatewayapi.Taken) {
		_ = c.Refuse(context.Background(), hubapi.NewProblem(hubapi.CodeForbidden, "on second thoughts"))
	}
	other := newDir(t)
	if _, err := hub.pair(other); err == nil || !strings.Contains(err.Error(), "on second thoughts") {
		t.Errorf("%v", err)
	}
	nothingKept(t, other)
	_, err = Pair(t.Context(), PairConfig{Hub: hub.url(), Token: hub.token(), Name: "n", DataDir: dir, Replace: true})
	id, readErr := readIdentity(dir)
	if err == nil || readErr != nil || id.Replica != first.Replica {
		t.Errorf("after a replacement that failed: %v, %v, replica %s", err, readErr, id.Replica)
	}
	hub.afterward = nil
	again, err := Pair(t.Context(), PairConfig{Hub: hub.url(), Token: hub.token(), Name: "n", DataDir: dir, Replace: true})
	if err != nil || again.Replica == first.Replica {
		t.Errorf("replacing: %v", err)
	}
}

// TestFalseHub shows that the token's secret is shown to no hub but the one that made it, whatever the outer TLS says.
func TestFalseHub(t *testing.T) {
	hub := newFakeHub(t)
	cases := map[string]func(){
		"another authority":       func() { hub.cert = newAuthority(t).server(gatewayapi.HubName) },
		"another name":            func() { hub.cert = hub.ca.server("other.example.com") },
		"a replica's certificate": func() { hub.cert = clientCertificate(hub.ca) },
		"its authority alone": func() {
			hub.cert = newAuthority(t).server(gatewayapi.HubName)
			hub.cert.Certificate = append(hub.cert.Certificate[:1], hub.ca.cert.Raw)
		},
	}
	honest := hub.cert
	for name, lie := range cases {
		hub.cert = honest
		lie()
		dir := newDir(t)
		if _, err := hub.pair(dir); !errors.Is(err, tunnel.ErrInnerCertificate) {
			t.Errorf("%s: %v", name, err)
		}
		nothingKept(t, dir)
	}
	if len(hub.enrolment) != 0 {
		t.Error("a false hub was told who the gateway is")
	}
}

func TestRecovery(t *testing.T) {
	organisation, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	public := base64.StdEncoding.EncodeToString(organisation.PublicKey())
	named := func(token *hubapi.PairingToken) {
		digest := sha256.Sum256([]byte(public))
		token.Recovery = digest[:]
	}
	hub := newFakeHub(t)
	hub.grant = func(g *gatewayapi.Grant) { g.RecoveryKey = public }
	first, err := hub.pair(newDir(t), named)
	if err != nil || !first.Recoverable || len(hub.taken[0].Escrow) == 0 {
		t.Fatalf("pairing with a recovery key: %+v, %v", first, err)
	}
	escrow := hub.taken[0].Escrow
	for name, key := range map[string]string{
		"dropped": "", "substituted": base64.StdEncoding.EncodeToString(stranger.PublicKey()),
	} {
		hub.grant = func(g *gatewayapi.Grant) { g.RecoveryKey = key }
		dir := newDir(t)
		if _, err := hub.pair(dir, named); err == nil {
			t.Errorf("a recovery key that the hub %s was taken", name)
		}
		nothingKept(t, dir)
	}
	hub.grant = func(g *gatewayapi.Grant) { g.RecoveryKey, g.Escrow = public, escrow }
	anew := func(key *seal.PrivateKey, change ...func(*hubapi.PairingToken)) (Paired, error) {
		return Pair(t.Context(), PairConfig{
			Hub: hub.url(), Token: hub.token(append(change, named)...), Name: "n", DataDir: newDir(t), Recovery: key,
		})
	}
	known := func(token *hubapi.PairingToken) { token.Key = first.Fingerprint }
	again, err := anew(organisation, known)
	if err != nil || again.Fingerprint != first.Fingerprint {
		t.Errorf("made again with the recovery key: %+v, %v", again, err)
	}
	if _, err := anew(stranger, known); !errors.Is(err, seal.ErrCannotOpen) {
		t.Errorf("made again with another key: %v", err)
	}
	// Anyone can seal to a public key, so that a hub can have an escrow of its own; the token knows the gateway's key.
	private, _ := stranger.Bytes()
	forged, err := seal.Seal(organisation.PublicKey(), gatewayapi.EscrowBinding("default", hub.gateway), private)
	if err != nil {
		t.Fatal(err)
	}
	hub.grant = func(g *gatewayapi.Grant) { g.RecoveryKey, g.Escrow = public, forged }
	for reason, change := range map[string]func(*hubapi.PairingToken){
		"the token names the key": known, "the hub said that there was none": func(*hubapi.PairingToken) {},
	} {
		if _, err := anew(organisation, change); err == nil {
			t.Errorf("a key that the hub made was taken for the gateway's, though %s", reason)
		}
	}
	hub.grant = func(g *gatewayapi.Grant) { g.RecoveryKey = public }
	if _, err := anew(organisation); err == nil {
		t.Error("a recovery key was given, nothing was recovered, and nobody was told")
	}
}

// TestLostAnswer shows that a pairing whose conversation is cut off goes on with the same keys, in this process or the next.
func TestLostAnswer(t *testing.T) {
	hub := newFakeHub(t)
	cut := 1
	hub.enrolled = func(gatewayapi.Enrolment) *hubapi.Problem {
		if cut--; cut >= 0 {
			hub.mu.Lock()
			s := hub.open[len(hub.open)-1]
			hub.mu.Unlock()
			_ = s.Close()
		}
		return nil
	}
	dir := newDir(t)
	token := hub.token()
	pair := func() error {
		_, err := Pair(t.Context(), PairConfig{Hub: hub.url(), Token: token, Name: "n", DataDir: dir})
		return err
	}
	if err := pair(); err != nil {
		t.Fatal(err)
	}
	cut, dir = pairTries, newDir(t)
	if err := pair(); err == nil {
		t.Fatal("a hub that never answers has paired a gateway")
	}
	cut = 0
	if err := pair(); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, e := range hub.enrolment[2:] {
		keys[string(e.IdentityKey)] = true
	}
	if len(hub.enrolment) != 2+pairTries+1 || len(keys) != 1 {
		t.Errorf("%d enrolments with %d keys after the first pairing", len(hub.enrolment)-2, len(keys))
	}
	if _, err := os.Stat(filepath.Join(dir, pendingName)); err == nil {
		t.Error("the keys of the pairing are still there")
	}
}

func TestIdentityOnDisk(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	token := hub.token()
	if _, err := Pair(t.Context(), PairConfig{Hub: hub.url(), Token: token, Name: "n", DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, identityName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := hubapi.ParsePairingToken(token)
	if strings.Contains(string(text), base64.StdEncoding.EncodeToString(parsed.Secret)) || strings.Contains(string(text), token) {
		t.Error("the token's secret was not forgotten")
	}
	run := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return Run(ctx, Config{DataDir: dir})
	}
	if err := run(); err != nil {
		t.Errorf("a good identity: %v", err)
	}
	for name, spoil := range map[string]func() error{
		"readable by others": func() error { return os.Chmod(path, 0o640) },
		"directory open":     func() error { return os.Chmod(dir, 0o750) },
		"cut off":            func() error { return os.WriteFile(path, text[:len(text)/2], 0o600) },
		"empty":              func() error { return os.WriteFile(path, nil, 0o600) },
		"without keys":       func() error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"gone":               func() error { return os.Remove(path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := run(); err == nil {
			t.Errorf("%s: the gateway runs", name)
		} else if strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", name, err)
		}
		for p, mode := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
			_ = os.WriteFile(path, text, 0o600)
			if err := os.Chmod(p, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	held, err := openDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(); err == nil {
		t.Error("two processes are one replica")
	}
	if err := held.close(); err != nil {
		t.Error(err)
	}
}
