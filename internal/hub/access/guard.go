package access

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Limits say how often somebody may ask. A zero field is its default.
type Limits struct {
	// PerSecond and Burst bound the requests of one token or workload: 50 and 100.
	PerSecond float64
	Burst     int
	// FailuresPerMinute and FailureBurst bound the failed logins from one address, or one IPv6 /64: 6 and 20.
	FailuresPerMinute float64
	FailureBurst      int
}

// Config is what a guard needs.
type Config struct {
	Records store.Records
	// Issuers vouch for workloads; none is fine.
	Issuers *Issuers
	// Source tells where a request comes from.
	Source func(*http.Request) string
	Limits Limits
	// Throttled is told of every request that was asked to come back later: "token" or "login". It may be nil.
	Throttled func(why string)
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Guard tells who makes a request.
type Guard struct {
	tokens    *Tokens
	issuers   *Issuers
	source    func(*http.Request) string
	requests  *limits
	failures  *limits
	good      *recent
	throttled func(string)
}

// NewGuard returns a guard.
func NewGuard(cfg Config) *Guard {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Throttled == nil {
		cfg.Throttled = func(string) {}
	}
	l := cfg.Limits
	if l.PerSecond == 0 {
		l.PerSecond = 50
	}
	if l.Burst == 0 {
		l.Burst = 100
	}
	if l.FailuresPerMinute == 0 {
		l.FailuresPerMinute = 6
	}
	if l.FailureBurst == 0 {
		l.FailureBurst = 20
	}
	return &Guard{
		tokens: NewTokens(cfg.Records, cfg.Now), issuers: cfg.Issuers, source: cfg.Source, throttled: cfg.Throttled,
		requests: newLimits(l.PerSecond, l.Burst, cfg.Now),
		failures: newLimits(l.FailuresPerMinute/60, l.FailureBurst, cfg.Now),
		good:     newRecent(cfg.Now),
	}
}

// Authenticate tells who makes a request by its bearer token, which is one of the hub's or a workload's identity. Who
// asks too often is told when to come back. A source that has failed too often is not listened to for a while, but for
// credentials that were good before: it may be a whole company behind one address.
func (g *Guard) Authenticate(r *http.Request) (hub.Principal, error) {
	from := network(g.source(r))
	bearer, err := bearerToken(r)
	if wait, yes := g.failures.empty(from); yes && !g.good.has(bearer) {
		g.throttled("login")
		return hub.Principal{}, later(wait, "too many requests with wrong credentials came from this address")
	}
	var who hub.Principal
	if err == nil {
		who, err = g.identify(r, bearer)
	}
	// Public CI systems sign for everybody, so an identity that no rule lets in is worth no more than none.
	if errors.Is(err, errUnauthorized) || errors.Is(err, errForbidden) {
		g.failures.take(from)
		g.good.forget(bearer)
	}
	if err != nil {
		return who, err
	}
	g.good.add(bearer)
	if wait, ok := g.requests.take(who.ID); !ok {
		g.throttled("token")
		return who, later(wait, "%s makes too many requests", who.Name)
	}
	return who, nil
}

var (
	errUnauthorized = &hubapi.Problem{Code: hubapi.CodeUnauthorized}
	errForbidden    = &hubapi.Problem{Code: hubapi.CodeForbidden}
)

func (g *Guard) identify(r *http.Request, bearer string) (hub.Principal, error) {
	if !strings.HasPrefix(bearer, tokenPrefix) && g.issuers != nil {
		return g.issuers.identify(r.Context(), bearer, r.PathValue("project"))
	}
	return g.token(r.Context(), bearer)
}

func (g *Guard) token(ctx context.Context, bearer string) (hub.Principal, error) {
	token, err := g.tokens.find(ctx, bearer)
	if err != nil {
		return hub.Principal{}, err
	}
	who := hub.Principal{ID: principalPrefix + token.ID, Name: token.Name, Role: token.Role, Project: token.Project}
	if who.Name == "" {
		who.Name = "token " + token.ID
	}
	return who, nil
}

// Good tells whether a token that let somebody in still would. A workload's identity is good for what it began: it expires
// within minutes, and what was begun with it takes longer.
func (g *Guard) Good(ctx context.Context, who hub.Principal) bool {
	id, ok := strings.CutPrefix(who.ID, principalPrefix)
	if !ok {
		return true
	}
	token, err := g.tokens.get(ctx, id)
	if errors.Is(err, ErrNoToken) {
		return false
	}
	return err != nil || token.Usable(g.tokens.now()) // The database's trouble is nobody's fault.
}

// principalPrefix is before a token's id in that of its principal.
const principalPrefix = "token:"

// maxBearer is the longest bearer token that is looked at, in bytes.
const maxBearer = 16 << 10

func bearerToken(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", hubapi.NewProblem(hubapi.CodeUnauthorized, "the request carries no token").
			WithHint("Set token in the provider's configuration, or PALETTE_TOKEN.")
	}
	scheme, text, ok := strings.Cut(values[0], " ")
	if len(values) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || text == "" || len(text) > maxBearer {
		return "", hubapi.NewProblem(hubapi.CodeUnauthorized, "the request's Authorization header is not one bearer token")
	}
	return text, nil
}

func later(wait time.Duration, format string, args ...any) error {
	return &hub.LaterError{Problem: hubapi.NewProblem(hubapi.CodeRateLimited, format, args...), After: wait}
}
