package gateway_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func leased(c *gateway.Config) { c.Leased = true }

func (h *fakeHub) lease(t *testing.T, epoch int64, holder bool, ttl time.Duration) {
	t.Helper()
	err := h.client.GiveLease(t.Context(), gatewayapi.Lease{Epoch: epoch, Holder: holder, TTLMillis: ttl.Milliseconds()})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTakeover shows that a replica takes over in the middle of a create from one that has lost its lease without noticing
// anything else, and that no machine is made twice.
func TestTakeover(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "taken", "")
	first, second := startGateway(t, w.identity, leased), startGateway(t, w.identity, leased)
	first.lease(t, 1, true, time.Minute)
	second.lease(t, 1, false, time.Minute)
	w.hub, w.a.Generation = first, 1
	if err := second.client.Assign(t.Context(), w.a); !errors.Is(err, hubapi.ErrConflict) {
		t.Fatalf("a replica without the lease was assigned a cluster: %v", err)
	}
	if _, err := second.client.Preview(t.Context(), w.a); err != nil {
		t.Errorf("a replica without the lease answers no reads: %v", err)
	}
	if err := first.client.Assign(t.Context(), w.a); err != nil {
		t.Fatal(err)
	}
	first.awaitUntil(t, w.a.ID, "a machine is being cloned", func() bool {
		return strings.Contains(strings.Join(first.messages, "\n"), "clone")
	})
	// The first one's lease runs out; it is not told. The hub waits for that, and gives the lease to the second one.
	first.lease(t, 1, true, time.Second)
	first.awaitHolder(t, false)
	second.lease(t, 2, true, time.Minute)
	w.keep(first.clusters[w.a.ID].Status)
	w.hub = second
	if err := second.client.Assign(t.Context(), w.a); err != nil {
		t.Fatal(err)
	}
	w.awaitReady("taken over", "cp-0", "general-0", "general-1")
}

// TestResignation shows that a replica stops its work in the middle of a create before it gives up its lease, takes up nothing
// more, and still answers; another one ends the work, and no machine is made twice.
func TestResignation(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "resigned", "")
	first, second := startGateway(t, w.identity, leased), startGateway(t, w.identity, leased)
	first.lease(t, 1, true, time.Minute)
	w.hub, w.a.Generation = first, 1
	if err := first.client.Assign(t.Context(), w.a); err != nil {
		t.Fatal(err)
	}
	first.awaitUntil(t, w.a.ID, "a machine is being cloned", func() bool {
		return strings.Contains(strings.Join(first.messages, "\n"), "clone")
	})
	if err := first.gateway.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.mu.Lock()
	resigned, status := first.resigned, first.clusters[w.a.ID].Status
	first.mu.Unlock()
	if resigned == nil || *resigned != 0 {
		t.Errorf("it resigned while it was at work: %v", resigned)
	}
	if err := first.client.GiveLease(t.Context(), gatewayapi.Lease{Epoch: 2, Holder: true, TTLMillis: 60_000}); !errors.Is(err, hubapi.ErrConflict) {
		t.Errorf("it takes another lease: %v", err)
	}
	if err := first.client.Assign(t.Context(), w.a); err == nil {
		t.Error("it takes a cluster")
	}
	if _, err := first.client.Preview(t.Context(), w.a); err != nil {
		t.Errorf("it answers no reads: %v", err)
	}
	second.lease(t, 2, true, time.Minute)
	w.keep(status)
	w.hub = second
	if err := second.client.Assign(t.Context(), w.a); err != nil {
		t.Fatal(err)
	}
	w.awaitReady("taken over", "cp-0", "general-0", "general-1")
}

// awaitHolder waits until the gateway takes assignments, or does not.
func (h *fakeHub) awaitHolder(t *testing.T, holder bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for time.Now().Before(deadline) {
		if h.gateway.State().Holder == holder {
			return
		}
		<-ticker.C
	}
	t.Fatalf("holder is still %t", !holder)
}

// TestLapse shows that work stops while the hub is away for longer than the lease lasts, and goes on by itself when the
// lease comes back.
func TestLapse(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "lapsed", "")
	hub := startGateway(t, w.identity, leased)
	hub.lease(t, 7, true, time.Minute)
	w.hub = hub
	w.assign()
	hub.lease(t, 7, true, time.Second) // lapses at once
	hub.awaitHolder(t, false)
	hub.lease(t, 7, true, time.Minute)
	w.awaitReady("after the lapse", "cp-0", "general-0", "general-1")
	for _, epoch := range hub.epochs {
		if epoch != 7 {
			t.Errorf("a report carries epoch %d", epoch)
		}
	}
}

// TestHubThatLies shows what a gateway does not do for a hub.
func TestHubThatLies(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	other := testkit.Start(t, testkit.Options{})
	_, identity := newFakeHub(t)
	identity.Project = "default"
	allowed := &policy.Policy{AllowCIDRs: loopback}
	restricted := func(p *policy.Policy) func(*gateway.Config) {
		return func(c *gateway.Config) { c.Policy = p }
	}
	cases := map[string]struct {
		reason string
		policy *policy.Policy
		lie    func(*gatewayapi.Account)
		code   hubapi.Code
	}{
		"Honest":  {"this one is meant for it", allowed, func(*gatewayapi.Account) {}, ""},
		"Gateway": {"an account of another gateway", allowed, func(a *gatewayapi.Account) { a.Spec.GatewayID = a.ID }, hubapi.CodeInvalid},
		"Project": {"another project", allowed, func(a *gatewayapi.Account) { a.Project = "other" }, hubapi.CodeForbidden},
		"Address": {"a password sent elsewhere", allowed, func(a *gatewayapi.Account) { a.Spec.VCenter = other.Host() }, hubapi.CodeCredentials},
		"Trust": {
			"a certificate that was not trusted", allowed,
			func(a *gatewayapi.Account) { a.Spec.Trust = hubapi.Trust{Insecure: true} }, hubapi.CodeCredentials,
		},
		"Username": {"another user", allowed, func(a *gatewayapi.Account) { a.Spec.Username = "root" }, hubapi.CodeCredentials},
		"Object":   {"a password of another account", allowed, func(a *gatewayapi.Account) { a.ID = a.Spec.GatewayID }, hubapi.CodeCredentials},
		"Damaged":  {"a password that was damaged", allowed, func(a *gatewayapi.Account) { a.SealedPassword[9] ^= 1 }, hubapi.CodeCredentials},
		"Userinfo": {"an address that hides another", allowed, func(a *gatewayapi.Account) { a.Spec.VCenter = "good@" + other.Host() }, hubapi.CodeInvalid},
		"Fragment": {"an address with more in it", allowed, func(a *gatewayapi.Account) { a.Spec.VCenter += "#x" }, hubapi.CodeInvalid},
		"Loopback": {"the gateway's own machine", &policy.Policy{}, func(*gatewayapi.Account) {}, hubapi.CodeForbidden},
		"Denied": {
			"a network that the policy denies", &policy.Policy{AllowCIDRs: loopback, DenyCIDRs: loopback},
			func(*gatewayapi.Account) {}, hubapi.CodeForbidden,
		},
		"Unlisted": {
			"a vCenter that the policy does not list", &policy.Policy{AllowCIDRs: loopback, VCenters: []string{"vc.example.com"}},
			func(*gatewayapi.Account) {}, hubapi.CodeForbidden,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			hub := startGateway(t, identity, restricted(tc.policy))
			account := accountOf(t, identity, vc, vc.Password())
			tc.lie(&account)
			logins := other.FailedLogins()
			_, err := hub.client.VerifyAccount(t.Context(), account)
			var problem *hubapi.Problem
			if tc.code == "" && err != nil || tc.code != "" && (!errors.As(err, &problem) || problem.Code != tc.code) {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.code)
			}
			if other.FailedLogins() != logins {
				t.Errorf("%s: somebody else was shown a password", tc.reason)
			}
		})
	}
}

// TestReadOnly shows that a gateway whose policy lets it read only takes no cluster.
func TestReadOnly(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	w := newWorld(t, vc, "readonly", "")
	hub := startGateway(t, w.identity, func(c *gateway.Config) {
		c.Policy = &policy.Policy{AllowCIDRs: loopback, ReadOnly: true}
	})
	if _, err := hub.client.Preview(t.Context(), w.a); err != nil {
		t.Errorf("preview: %v", err)
	}
	if err := hub.client.Assign(t.Context(), w.a); !errors.Is(err, &hubapi.Problem{Code: hubapi.CodeForbidden}) {
		t.Errorf("assign: %v", err)
	}
}
