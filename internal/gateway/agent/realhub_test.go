package agent

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

// site is a gateway at a whole hub.
type site struct {
	t       *testing.T
	hub     *hubtest.Hub
	client  *hubapi.Client
	gateway *hubapi.Gateway
	token   hubapi.PairingToken
}

func newSite(t *testing.T, spec hubapi.GatewaySpec) *site {
	t.Helper()
	s := &site{t: t, hub: hubtest.Start(t, nil)}
	s.client = s.hub.Client("default", hubapi.RoleAdmin)
	var err error
	s.gateway, err = s.client.PutGateway(t.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: "edge", Spec: spec}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// pair pairs a replica with a token of its own, which one who keeps the introduction makes.
func (s *site) pair(dir string) (Paired, error) {
	s.t.Helper()
	token, _, err := s.client.Pair(s.t.Context(), s.gateway.ID, hubapi.PairOptions{Kept: true, Introduction: s.token.Introduction})
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = token
	return Pair(s.t.Context(), PairConfig{
		Hub: s.hub.URL, OuterCA: s.hub.CA, Token: token.String(), Name: dir[len(dir)-5:], DataDir: dir, Version: "test",
	})
}

func (s *site) run(dir string) (stop func()) {
	s.t.Helper()
	return runAgent(s.t, Config{DataDir: dir, Version: "test", Pace: 20 * time.Millisecond, Policy: &policy.Policy{
		AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}})
}

// until waits until the hub says something of the gateway, and returns what it said.
func (s *site) until(what string, holds func(*hubapi.Gateway) bool) *hubapi.Gateway {
	s.t.Helper()
	var g *hubapi.Gateway
	waitFor(s.t, what, func() bool {
		var err error
		g, err = s.client.Gateway(s.t.Context(), s.gateway.ID)
		return err == nil && holds(g)
	})
	return g
}

func online(n int) func(*hubapi.Gateway) bool {
	return func(g *hubapi.Gateway) bool {
		connected, holders := 0, 0
		for _, r := range g.Status.Replicas {
			if r.ConnectedSince != nil {
				connected++
			}
			if r.Holder {
				holders++
			}
		}
		return g.Status.State == hubapi.GatewayOnline && connected == n && holders == 1
	}
}

// TestReplicasAtARealHub pairs replicas, kills the one that works, revokes one, and restarts the hub.
func TestReplicasAtARealHub(t *testing.T) {
	s := newSite(t, hubapi.GatewaySpec{})
	dirs := []string{newDir(t), newDir(t)}
	first, err := s.pair(dirs[0])
	if err != nil {
		t.Fatal(err)
	}
	stopFirst := s.run(dirs[0])
	s.until("the first replica works", online(1))
	if _, err := Pair(t.Context(), PairConfig{
		Hub: s.hub.URL, OuterCA: s.hub.CA, Token: s.token.String(), Name: "thief", DataDir: newDir(t),
	}); err == nil || !strings.Contains(err.Error(), "used") {
		t.Errorf("a token that was used: %v", err)
	}
	second, err := s.pair(dirs[1])
	if err != nil || second.Fingerprint != first.Fingerprint {
		t.Fatalf("a further replica: %+v, %v", second, err)
	}
	s.run(dirs[1])
	g := s.until("both are there", online(2))
	for _, r := range g.Status.Replicas {
		if r.Holder != (r.ID == first.Replica) {
			t.Errorf("replica %s has the lease: %t", r.ID, r.Holder)
		}
	}

	began := time.Now()
	stopFirst()
	s.until("the second replica has taken over", func(g *hubapi.Gateway) bool {
		for _, r := range g.Status.Replicas {
			if r.ID == second.Replica && r.Holder {
				return true
			}
		}
		return false
	})
	// It has said that it goes: nobody waits for the end of its lease.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the takeover took %s", took)
	} else {
		t.Logf("taken over after %s", took)
	}

	if err := s.client.RevokeReplica(t.Context(), s.gateway.ID, second.Replica); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	waitFor(t, "the revoked replica is cut off and knows why", func() bool {
		status, err := ReadStatus(t.Context(), dirs[1], "test")
		return err == nil && !status.Running.Ready && strings.Contains(status.Running.Trouble, "revoked")
	})
	t.Logf("cut off after %s", time.Since(revoked))
	s.run(dirs[0])
	s.until("the first replica is back", online(1))
	s.hub.Stop()
	s.hub = hubtest.Start(t, func(c *service.Config) {
		c.DataDir, c.Listen = s.hub.Config.DataDir, s.hub.Addresses.Hub
	})
	back := time.Now()
	waitFor(t, "the gateway is back", func() bool {
		status, err := ReadStatus(t.Context(), dirs[0], "test")
		return err == nil && status.Running.Ready
	})
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("back %s after the hub", took)
	}
}

// TestRefusedTokens shows the hub's reasons at the gateway's console.
func TestRefusedTokens(t *testing.T) {
	s := newSite(t, hubapi.GatewaySpec{})
	fresh := func() hubapi.PairingToken {
		token, _, err := s.client.Pair(t.Context(), s.gateway.ID, hubapi.PairOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	guessed := fresh()
	guessed.Secret = hubapi.NewSecret()
	foreign := fresh()
	foreign.Gateway = uuid.NewString()
	unknown := fresh()
	unknown.ID = uuid.NewString()
	for name, token := range map[string]hubapi.PairingToken{"guessed": guessed, "foreign": foreign, "unknown": unknown} {
		dir := newDir(t)
		_, err := Pair(t.Context(), PairConfig{Hub: s.hub.URL, OuterCA: s.hub.CA, Token: token.String(), Name: "n", DataDir: dir})
		if err == nil {
			t.Errorf("%s: paired", name)
		}
		if refused, ok := errors.AsType[*RefusedError](err); ok && refused.Problem.Hint == "" {
			t.Errorf("%s: no hint: %v", name, err)
		}
		nothingKept(t, dir)
	}
}

// TestRecoveryAtARealHub loses the only replica of a gateway, and makes it anew with the organisation's recovery key.
func TestRecoveryAtARealHub(t *testing.T) {
	organisation, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, hubapi.GatewaySpec{RecoveryKey: base64.StdEncoding.EncodeToString(organisation.PublicKey())})
	lost := newDir(t)
	first, err := s.pair(lost)
	if err != nil || !first.Recoverable {
		t.Fatalf("%+v, %v", first, err)
	}
	stop := s.run(lost)
	s.until("the gateway works and can be recovered", func(g *hubapi.Gateway) bool { return online(1)(g) && g.Status.Recoverable })
	stop()
	s.until("it is gone", func(g *hubapi.Gateway) bool { return g.Status.State == hubapi.GatewayOffline })
	// Who is revoked is not waited for as long as one that may come back with its lease.
	if err := s.client.RevokeReplica(t.Context(), s.gateway.ID, first.Replica); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pair(newDir(t)); err == nil || !strings.Contains(err.Error(), "--recovery-key-file") {
		t.Errorf("without the recovery key: %v", err)
	}
	token, _, err := s.client.Pair(t.Context(), s.gateway.ID, hubapi.PairOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dir := newDir(t)
	again, err := Pair(t.Context(), PairConfig{
		Hub: s.hub.URL, OuterCA: s.hub.CA, Token: token.String(), Name: "again", DataDir: dir, Version: "test", Recovery: organisation,
	})
	if err != nil || again.Fingerprint != first.Fingerprint {
		t.Fatalf("made anew: %+v, %v; it was %+v", again, err, first)
	}
	s.run(dir)
	s.until("it works again", online(1))
}
