package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// door is a guard with a token that is good.
type door struct {
	t      *testing.T
	guard  *Guard
	clock  *clock
	text   string
	token  Token
	why    []string
	remote string
}

func newDoor(t *testing.T, records store.Records, issuers *Issuers, clock *clock) *door {
	t.Helper()
	d := &door{t: t, clock: clock, remote: "192.0.2.1:1234"}
	d.guard = NewGuard(Config{
		Records: records, Issuers: issuers, Source: Proxies{}.Source, Now: clock.now,
		Limits:    Limits{PerSecond: 10, Burst: 5, FailuresPerMinute: 6, FailureBurst: 3},
		Throttled: func(why string) { d.why = append(d.why, why) },
	})
	var err error
	d.token, d.text, err = NewTokens(records, clock.now).Create(
		t.Context(), Token{Name: "ci", Project: "prod", Role: hubapi.RoleEditor}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *door) knock(header ...string) (hub.Principal, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = d.remote
	r.SetPathValue("project", "prod")
	for _, value := range header {
		r.Header.Add("Authorization", value)
	}
	return d.guard.Authenticate(r)
}

func TestAuthenticate(t *testing.T) {
	c := newCI(t)
	d := newDoor(t, openStore(t), c.issuers(nil), c.clock)
	byToken := hub.Principal{ID: "token:" + d.token.ID, Name: "ci", Project: "prod", Role: hubapi.RoleEditor}
	workload := hub.Principal{
		ID:   "oidc:" + c.url + "#repo:org/infra:ref:refs/heads/main",
		Name: "repo:org/infra:ref:refs/heads/main", Project: "prod", Role: hubapi.RoleEditor,
	}
	for reason, tc := range map[string]struct {
		header []string
		want   hub.Principal
		fails  bool
	}{
		"a token":            {[]string{"Bearer " + d.text}, byToken, false},
		"scheme in any case": {[]string{"bearer " + d.text}, byToken, false},
		"a workload":         {[]string{"Bearer " + c.sign("one", c.claims(nil))}, workload, false},
		"nothing":            {nil, hub.Principal{}, true},
		"basic":              {[]string{"Basic " + d.text}, hub.Principal{}, true},
		"no scheme":          {[]string{d.text}, hub.Principal{}, true},
		"two tokens":         {[]string{"Bearer " + d.text, "Bearer " + d.text}, hub.Principal{}, true},
		"empty":              {[]string{"Bearer "}, hub.Principal{}, true},
		"huge":               {[]string{"Bearer " + d.text + fmt.Sprintf("%*d", maxBearer, 1)}, hub.Principal{}, true},
		"somebody else":      {[]string{"Bearer palette_6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001_abc"}, hub.Principal{}, true},
	} {
		d.clock.advance(20 * time.Second) // The failures of a few rows must not add up.
		got, err := d.knock(tc.header...)
		if tc.fails != errors.Is(err, errUnauthorized) || (err != nil) != tc.fails {
			t.Errorf("%s: %v", reason, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}

func TestThrottling(t *testing.T) {
	d := newDoor(t, openStore(t), nil, newClock())
	good := "Bearer " + d.text
	for range 5 {
		if _, err := d.knock(good); err != nil {
			t.Fatal(err)
		}
	}
	var later *hub.LaterError
	if _, err := d.knock(good); !errors.As(err, &later) || later.After != 100*time.Millisecond || later.Problem.Code != hubapi.CodeRateLimited {
		t.Fatalf("the sixth of a burst of five: %v", err)
	}
	d.clock.advance(time.Second)
	other, text, err := d.guard.tokens.Create(t.Context(), Token{Project: "prod", Role: hubapi.RoleViewer}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := d.knock("Bearer wrong"); !errors.Is(err, errUnauthorized) {
			t.Fatal(err)
		}
	}
	if _, err := d.knock("Bearer wrong"); !errors.As(err, &later) || later.After != 10*time.Second {
		t.Errorf("the fourth failure of a burst of three: %v", err)
	}
	if _, err := d.knock("Bearer " + text); !errors.As(err, &later) {
		t.Errorf("credentials that were not seen before, from a source that guesses: %v", err)
	}
	if _, err := d.knock(good); err != nil {
		t.Errorf("credentials that were good before suffer from their neighbours: %v", err)
	}
	d.remote = "192.0.2.2:1"
	if who, err := d.knock("Bearer " + text); err != nil || who.ID != "token:"+other.ID {
		t.Errorf("another source suffers: %v", err)
	}
	if diff := cmp.Diff([]string{"token", "login", "login"}, d.why); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}

func TestRevokedTokensAreNotRemembered(t *testing.T) {
	d := newDoor(t, openStore(t), nil, newClock())
	who, err := d.knock("Bearer " + d.text)
	if err != nil || !d.guard.Good(t.Context(), who) {
		t.Fatal(err)
	}
	if _, err := d.guard.tokens.Revoke(t.Context(), d.token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.knock("Bearer " + d.text); !errors.Is(err, errUnauthorized) {
		t.Errorf("a token that was revoked a moment ago: %v", err)
	}
	if d.guard.good.has(d.text) || d.guard.Good(t.Context(), who) {
		t.Error("it is still taken for good")
	}
	for _, good := range []string{"local", "oidc:https://ci.example.com#job"} {
		if !d.guard.Good(t.Context(), hub.Principal{ID: good}) {
			t.Errorf("%s is no longer good", good)
		}
	}
}

func TestDatabaseTroubleIsNobodysFault(t *testing.T) {
	records := openStore(t)
	d := newDoor(t, records, nil, newClock())
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := d.knock("Bearer " + d.text); err == nil || errors.Is(err, errUnauthorized) || errors.As(err, new(*hub.LaterError)) {
			t.Fatalf("while the database is closed: %v", err)
		}
	}
}

// TestIdentitiesOfStrangers: who is signed for by a public CI system, and let in by no rule, cannot go on asking.
func TestIdentitiesOfStrangers(t *testing.T) {
	c := newCI(t)
	d := newDoor(t, openStore(t), c.issuers(nil), c.clock)
	stranger := func(i int) (hub.Principal, error) {
		return d.knock("Bearer " + c.sign("one", c.claims(map[string]any{
			"repository": "evil/infra", "sub": fmt.Sprintf("repo:evil/%d", i),
		})))
	}
	for i := range 3 {
		if _, err := stranger(i); !errors.Is(err, errForbidden) {
			t.Fatal(err)
		}
	}
	if _, err := stranger(3); !errors.As(err, new(*hub.LaterError)) {
		t.Errorf("the fourth of a burst of three: %v", err)
	}
}
