package agent

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestRenewal(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	paired, err := hub.pair(dir)
	if err != nil {
		t.Fatal(err)
	}
	runAgent(t, Config{DataDir: dir})
	client := gatewayapi.NewClient(hub.session())
	certificate := func() []byte {
		id, err := readIdentity(dir)
		if err != nil {
			t.Fatal(err)
		}
		return id.Certificate
	}
	grant := func(csr []byte) gatewayapi.Grant {
		return gatewayapi.Grant{
			Gateway: hub.gateway, Project: "default", Replica: paired.Replica, CA: hub.ca.pem(),
			Certificate: hub.ca.replica(csr, "default", hub.gateway, paired.Replica, time.Now().Add(time.Hour)),
		}
	}
	renew := func() []byte {
		r, err := client.Renew(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r.CSR
	}
	before := certificate()
	stranger := newAuthority(t)
	for name, lie := range map[string]func(*gatewayapi.Grant){
		"another replica": func(g *gatewayapi.Grant) { g.Replica = uuid.NewString() },
		"another gateway": func(g *gatewayapi.Grant) { g.Gateway = uuid.NewString() },
		"another issuer": func(g *gatewayapi.Grant) {
			g.CA = stranger.pem()
			g.Certificate = stranger.replica(renew(), "default", hub.gateway, paired.Replica, time.Now().Add(time.Hour))
		},
		"a key that was not asked for": func(g *gatewayapi.Grant) { g.Certificate = before },
		"no certificate":               func(g *gatewayapi.Grant) { g.Certificate = nil },
	} {
		g := grant(renew())
		lie(&g)
		if _, err := client.Grant(t.Context(), g); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if !bytes.Equal(before, certificate()) {
		t.Fatal("the certificate was changed all the same")
	}
	first, second := renew(), renew() // two instances of the hub at once
	for _, csr := range [][]byte{second, first} {
		g := grant(csr)
		taken, err := client.Grant(t.Context(), g)
		if err != nil || len(taken.SealingKey) == 0 || !bytes.Equal(certificate(), g.Certificate) {
			t.Errorf("renewal: %v", err)
		}
	}
	if _, err := client.Grant(t.Context(), grant(first)); err == nil {
		t.Error("a renewal was taken twice")
	}
	if _, err := client.Info(t.Context()); err != nil {
		t.Errorf("the session did not outlive the renewal: %v", err)
	}
	hub.stop()
	hub.start(hub.server.Listener.Addr().String())
	state := hub.session().ConnectionState()
	if !bytes.Equal(state.PeerCertificates[0].Raw, certificate()) {
		t.Error("a new session does not use the new certificate")
	}
}

// TestRejoin shows a replica that was away until its certificate expired: it comes back by its identity key.
func TestRejoin(t *testing.T) {
	hub := newFakeHub(t)
	hub.validity = 2 * time.Second
	dir := newDir(t)
	paired, err := hub.pair(dir)
	if err != nil {
		t.Fatal(err)
	}
	id, err := readIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := id.certificate()
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(cert.Leaf.NotAfter) + time.Second)
	hub.validity = time.Hour
	runAgent(t, Config{DataDir: dir})
	hub.session()
	rejoin := hub.enrolment[len(hub.enrolment)-1].Rejoin
	if rejoin == nil || rejoin.Replica != paired.Replica {
		t.Errorf("rejoined as %+v", rejoin)
	}
}

// TestRevoked shows a replica that the hub does not know any more: it says why, and does not give up.
func TestRevoked(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	hub.enrolled = func(gatewayapi.Enrolment) *hubapi.Problem {
		return hubapi.NewProblem(hubapi.CodeForbidden, "the replica was revoked")
	}
	hub.stranger.Store(newAuthority(t))
	runAgent(t, Config{DataDir: dir})
	waitFor(t, "the status says why", func() bool {
		status, err := ReadStatus(t.Context(), dir, "test")
		return err == nil && status.Running != nil && !status.Running.Ready &&
			strings.Contains(status.Running.Trouble, "revoked")
	})
	waitFor(t, "the status still says why when the hub is not asked at each dial", func() bool {
		status, err := ReadStatus(t.Context(), dir, "test")
		return err == nil && strings.Contains(status.Running.Trouble, errTooSoon.Error()) &&
			strings.Contains(status.Running.Trouble, "revoked")
	})
	hub.stranger.Store(nil)
	hub.session()
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-ticker.C
	}
}
