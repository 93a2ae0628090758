package sessions_test

import (
	"bytes"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

func TestTokenIsGoodForOne(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	token := i.token(g.ID)
	const callers = 50
	outcomes := make(chan *hubapi.Problem, callers)
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			refused, err := newReplica(t).pair(t.Context(), i, token)
			if err != nil {
				refused = &hubapi.Problem{Code: hubapi.CodeInternal, Detail: err.Error()}
			}
			outcomes <- refused
		})
	}
	group.Wait()
	close(outcomes)
	counts := map[hubapi.Code]int{}
	for refused := range outcomes {
		if refused == nil {
			counts[""]++
			continue
		}
		counts[refused.Code]++
		if refused.Code != hubapi.CodeUnauthorized && refused.Code != hubapi.CodeRateLimited && refused.Code != hubapi.CodeInternal {
			t.Errorf("refused with %+v", refused)
		}
	}
	t.Logf("outcomes: %v", counts)
	if counts[""] != 1 {
		t.Errorf("%d were paired with one token", counts[""])
	}
	got, err := i.client.Gateway(t.Context(), g.ID)
	if err != nil || len(got.Status.Replicas) != 1 {
		t.Errorf("the gateway has replicas %+v, %v", got.Status.Replicas, err)
	}
	p, err := i.client.Pairing(t.Context(), g.ID, token.ID)
	if err != nil || p.UsedAt == nil {
		t.Errorf("the token is %+v, %v", p, err)
	}
}

func TestTokenRefused(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g, other := i.gateway("site"), i.gateway("other")
	used := i.token(g.ID)
	if refused, err := newReplica(t).pair(t.Context(), i, used); refused != nil || err != nil {
		t.Fatal(refused, err)
	}
	orphan := i.token(other.ID)
	if err := i.client.DeleteGateway(t.Context(), other.ID); err != nil {
		t.Fatal(err)
	}
	fresh := i.token(g.ID)
	guessed, unknown := fresh, fresh
	guessed.Secret, unknown.ID = hubapi.NewSecret(), uuid.NewString()
	expired, _, err := i.client.Pair(t.Context(), g.ID, hubapi.PairOptions{TTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.advance(2 * time.Second)
	answers := map[string]string{}
	for reason, token := range map[string]hubapi.PairingToken{
		"used": used, "guessed": guessed, "unknown": unknown, "expired": expired, "of a gateway that is gone": orphan,
	} {
		refused, err := newReplica(t).pair(t.Context(), i, token)
		if err != nil || refused == nil || refused.Code != hubapi.CodeUnauthorized {
			t.Errorf("%s: refused with %+v, %v", reason, refused, err)
			continue
		}
		answers[reason] = refused.Detail
	}
	if answers["guessed"] != answers["unknown"] {
		t.Errorf("a guess tells whether there is such a token: %q, %q", answers["guessed"], answers["unknown"])
	}
	if answers["used"] == answers["expired"] || answers["used"] == answers["unknown"] {
		t.Errorf("reasons are not told apart: %q", answers)
	}
	for _, secret := range [][]byte{used.Secret, guessed.Secret, fresh.Secret} {
		if b.log.contains(string(secret)) {
			t.Error("a secret is in the log")
		}
	}
}

func TestEnrolmentForgeries(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	victim := newReplica(t).mustPair(i, g.ID)
	for reason, change := range map[string]func(*replica){
		"signed by another key": func(r *replica) {
			r.after = func(e *gatewayapi.Enrolment) { e.IdentityKey = bytes.Repeat([]byte{1}, 32) }
		},
		"signature of something else": func(r *replica) {
			r.after = func(e *gatewayapi.Enrolment) { e.Name = "another" }
		},
		"no proof at all": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) { e.Pairing = nil }
		},
		"both proofs": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) {
				e.Rejoin = &gatewayapi.RejoinProof{Gateway: g.ID, Replica: victim.grant.Replica}
			}
		},
		"another's replica": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) {
				e.Pairing, e.Rejoin = nil, &gatewayapi.RejoinProof{Gateway: g.ID, Replica: victim.grant.Replica}
			}
		},
		"no certificate request": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) { e.CSR = []byte("x") }
		},
		"no sealing key": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) { e.Pairing.SealingKey, e.Pairing.TransferKey = []byte("x"), []byte("x") }
		},
		"no name": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) { e.Name = "\x1b\n\x00 " }
		},
		"path tricks": func(r *replica) {
			r.before = func(e *gatewayapi.Enrolment) { e.Pairing.ID = "../" + e.Pairing.ID }
		},
	} {
		t.Run(reason, func(t *testing.T) {
			target := i.gateway(uuid.NewString())
			r := newReplica(t)
			change(r)
			token := i.token(target.ID)
			refused, err := r.pair(t.Context(), i, token)
			if err != nil || refused == nil {
				t.Fatalf("refused with %+v, %v", refused, err)
			}
			if got, err := i.client.Gateway(t.Context(), target.ID); err != nil || len(got.Status.Replicas) > 0 {
				t.Errorf("it became a replica: %+v, %v", got.Status.Replicas, err)
			}
			// The token is as good as before for who is honest.
			if refused, err := newReplica(t).pair(t.Context(), i, token); err != nil || refused != nil {
				t.Errorf("the token is spoilt: %+v, %v", refused, err)
			}
		})
	}
}

// TestEnrolmentReplayed: what a hub or a proxy has recorded is of no use on another connection.
func TestEnrolmentReplayed(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	victim := newReplica(t)
	var recorded gatewayapi.Enrolment
	victim.after = func(e *gatewayapi.Enrolment) { recorded = *e }
	victim.mustPair(i, g.ID)
	thief := newReplica(t)
	thief.after = func(e *gatewayapi.Enrolment) { *e = recorded }
	refused, err := thief.enrol(t.Context(), i, func(*gatewayapi.Enrolment) {})
	if err != nil || refused == nil || refused.Code != hubapi.CodeUnauthorized {
		t.Errorf("refused with %+v, %v", refused, err)
	}
}

// TestTokenShownAgain: whoever used a token and lost the answer gets its identity with the same identity key, and nobody else
// does.
func TestTokenShownAgain(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	token := i.token(g.ID)
	r := newReplica(t)
	r.loseGrants = 1
	if refused, err := r.pair(t.Context(), i, token); refused == nil && err == nil {
		t.Fatal("paired without an answer")
	}
	if g, err := i.client.Gateway(t.Context(), g.ID); err != nil || g.Status.PublicKey != "" || len(g.Status.Replicas) > 0 {
		t.Errorf("the key of a process that may have lost it is the gateway's: %+v, %v", g.Status, err)
	}
	if refused, err := newReplica(t).pair(t.Context(), i, token); err != nil || refused == nil {
		t.Errorf("another process with the token: %+v, %v", refused, err)
	}
	if refused, err := r.pair(t.Context(), i, token); err != nil || refused != nil {
		t.Fatalf("the same process again: %+v, %v", refused, err)
	}
	if refused, err := r.pair(t.Context(), i, token); err != nil || refused == nil {
		t.Errorf("a replica that has its identity gets it again: %+v, %v", refused, err)
	}
}

// TestGrantDeclined: when the process does not take what it is given, the token can be used by another.
func TestGrantDeclined(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	token := i.token(g.ID)
	r := newReplica(t)
	r.declines = true
	if refused, err := r.pair(t.Context(), i, token); err != nil || refused == nil {
		t.Fatal(refused, err)
	}
	if refused, err := newReplica(t).pair(t.Context(), i, token); err != nil || refused != nil {
		t.Errorf("the token is spoilt: %+v, %v", refused, err)
	}
}

func TestRejoin(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	rejoin := func() (*hubapi.Problem, error) {
		r.set(func() { r.refused = nil })
		return r.enrol(t.Context(), i, func(e *gatewayapi.Enrolment) {
			e.Rejoin = &gatewayapi.RejoinProof{Gateway: g.ID, Replica: r.grant.Replica}
		})
	}
	b.clock.advance(25 * time.Hour)
	if _, err := r.connect(i); err == nil {
		t.Error("an expired certificate is good")
	}
	old := r.grant.Certificate
	if refused, err := rejoin(); err != nil || refused != nil {
		t.Fatalf("rejoining: %+v, %v", refused, err)
	}
	if bytes.Equal(old, r.grant.Certificate) {
		t.Error("it has got the old certificate")
	}
	c := r.mustConnect(i)
	r.await("told who the hub is", 5*time.Second, func() bool { return len(r.hubs) > 0 })
	c.stop()
	i.await(g.ID, "offline", func(g *hubapi.Gateway) bool { return g.Status.State == hubapi.GatewayOffline })
	b.clock.advance(32 * 24 * time.Hour)
	if refused, err := rejoin(); err != nil || refused == nil || refused.Code != hubapi.CodeForbidden {
		t.Errorf("after too long: %+v, %v", refused, err)
	}
	b.clock.advance(-32 * 24 * time.Hour)
	if err := i.client.RevokeReplica(t.Context(), g.ID, r.grant.Replica); err != nil {
		t.Fatal(err)
	}
	if refused, err := rejoin(); err != nil || refused == nil || refused.Code != hubapi.CodeForbidden {
		t.Errorf("after revocation: %+v, %v", refused, err)
	}
}
