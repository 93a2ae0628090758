package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// leeway is how far an issuer's clock may be from the hub's.
const leeway = time.Minute

// algorithms are those with which a workload's identity may be signed: with a public key, and none that is broken.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Issuer is who vouches for workloads, such as a CI system, and what is believed of that.
type Issuer struct {
	// Issuer is the URL that the tokens name, letter by letter.
	Issuer string `json:"issuer"`
	// Audience has to be among those that a token is made for, so that one made for another service is worth nothing here.
	Audience string `json:"audience"`
	// JWKSURL is where the issuer's keys are; "" finds them by OpenID Connect discovery.
	JWKSURL string `json:"jwks_url,omitempty"`
	// CAFile holds PEM certificates that are believed beside the system's when the issuer is asked.
	CAFile string `json:"ca_file,omitempty"`
	// Rules are tried in their order: the first one for the project that is asked for and whose claims fit decides.
	Rules []Rule `json:"rules"`
}

// Issuers tell who a workload is. No secret is kept for that anywhere: the issuer's signature, made minutes ago for this
// hub, is the proof.
type Issuers struct {
	now  func() time.Time
	byID map[string]issuer
}

type issuer struct {
	Issuer
	keys *keySet
}

// LoadIssuers reads a file, YAML or JSON, that holds a list of issuers. A nil clock is the system's.
func LoadIssuers(file string, now func() time.Time) (*Issuers, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the OIDC configuration: %w", err)
	}
	var list []Issuer
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, fmt.Errorf("reading the OIDC configuration %s: %w", file, err)
	}
	issuers, err := NewIssuers(list, now)
	if err != nil {
		return nil, fmt.Errorf("the OIDC configuration %s: %w", file, err)
	}
	return issuers, nil
}

// NewIssuers returns what vouches for workloads. Nobody is asked before a workload comes.
func NewIssuers(list []Issuer, now func() time.Time) (*Issuers, error) {
	if now == nil {
		now = time.Now
	}
	all := &Issuers{now: now, byID: map[string]issuer{}}
	for _, i := range list {
		if err := i.check(); err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Issuer, err)
		}
		if _, ok := all.byID[i.Issuer]; ok {
			return nil, fmt.Errorf("issuer %q is there twice", i.Issuer)
		}
		client, err := issuerClient(i.CAFile)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", i.Issuer, err)
		}
		all.byID[i.Issuer] = issuer{Issuer: i, keys: &keySet{issuer: i.Issuer, url: i.JWKSURL, client: client, now: now}}
	}
	return all, nil
}

func (i Issuer) check() error {
	if err := checkURL(i.Issuer); err != nil {
		return err
	}
	if i.JWKSURL != "" {
		if err := checkURL(i.JWKSURL); err != nil {
			return fmt.Errorf("jwks_url: %w", err)
		}
	}
	if i.Audience == "" {
		return errors.New("audience is missing: tokens made for any other service would be good here")
	}
	if len(i.Rules) == 0 {
		return errors.New("there are no rules, so nobody could come in")
	}
	for _, rule := range i.Rules {
		if err := rule.check(); err != nil {
			return err
		}
	}
	return nil
}

// Close lets go of idle connections.
func (all *Issuers) Close() {
	for _, i := range all.byID {
		i.keys.client.CloseIdleConnections()
	}
}

// identify tells who a workload is and what it may do in the project that is asked for. The error is a *hubapi.Problem.
func (all *Issuers) identify(ctx context.Context, text, project string) (hub.Principal, error) {
	token, err := jwt.ParseSigned(text, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return hub.Principal{}, unauthorized("the token is neither one of this hub's nor a signed identity that can be checked")
	}
	var claimed jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&claimed); err != nil {
		return hub.Principal{}, unauthorized("the identity's claims cannot be read")
	}
	from, ok := all.byID[claimed.Issuer]
	if !ok {
		return hub.Principal{}, unauthorized("this hub believes no identities of the issuer %q", readable(claimed.Issuer))
	}
	key, err := from.keys.key(ctx, token.Headers[0].KeyID)
	switch {
	case errors.Is(err, errNoAnswer):
		return hub.Principal{}, hubapi.NewProblem(hubapi.CodeUnreachable, "the keys of the issuer %s cannot be fetched", from.Issuer.Issuer)
	case errors.Is(err, errNoKey):
		return hub.Principal{}, unauthorized("the issuer %s has no key %q", from.Issuer.Issuer, readable(token.Headers[0].KeyID))
	case err != nil:
		return hub.Principal{}, err
	}
	var raw json.RawMessage
	if err := token.Claims(key, &claimed, &raw); err != nil {
		return hub.Principal{}, unauthorized("the identity is not signed by the issuer %s", from.Issuer.Issuer)
	}
	if err := all.valid(from, claimed); err != nil {
		return hub.Principal{}, err
	}
	return from.admit(claimed.Subject, raw, project)
}

// valid checks what a signed identity says of itself.
func (all *Issuers) valid(from issuer, c jwt.Claims) error {
	if c.Subject == "" || c.Expiry == nil {
		return unauthorized("the identity names no subject or does not expire")
	}
	err := c.ValidateWithLeeway(jwt.Expected{
		Issuer: from.Issuer.Issuer, AnyAudience: jwt.Audience{from.Audience}, Time: all.now(),
	}, leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrInvalidAudience):
		return unauthorized("the identity is made for %q, not for %q", readable(strings.Join(c.Audience, ", ")), from.Audience)
	case errors.Is(err, jwt.ErrExpired):
		return unauthorized("the identity expired at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	default:
		return unauthorized("the identity is not valid yet; see that the clocks of the hub and of the issuer are right")
	}
}

func (i issuer) admit(subject string, raw json.RawMessage, project string) (hub.Principal, error) {
	var c claims
	if err := json.Unmarshal(raw, &c); err != nil {
		return hub.Principal{}, unauthorized("the identity's claims cannot be read")
	}
	who := hub.Principal{ID: "oidc:" + i.Issuer.Issuer + "#" + readable(subject), Name: readable(subject)}
	rule, ok := choose(i.Rules, c, project)
	if !ok {
		return who, hubapi.NewProblem(hubapi.CodeForbidden, "no rule of the hub lets %s of %s in", who.Name, i.Issuer.Issuer)
	}
	who.Project, who.Role = rule.Project, rule.Role
	return who, nil
}

func unauthorized(format string, args ...any) *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeUnauthorized, format, args...)
}

// readable makes a text from outside fit for logs and answers.
func readable(s string) string {
	s = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	return strings.ToValidUTF8(s[:min(len(s), 200)], "")
}
