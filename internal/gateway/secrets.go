package gateway

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// clusterSecrets are what a gateway seals to itself for a cluster.
type clusterSecrets struct {
	Secrets bootstrap.Secrets `json:"secrets"`
	Anchor  anchor            `json:"anchor"`
	// Origin is the gateway that made the cluster.
	Origin string `json:"origin,omitempty"`

	// own tells that this gateway has sealed them. Others come from a gateway that handed the cluster over, or from a hub that
	// makes them up: they count only for who knows the password in the anchor, which no hub does.
	own bool
}

// belongTo tells whether a login that has succeeded is that of the secrets' owner.
func (s clusterSecrets) belongTo(login vsphere.Login) bool {
	return s.own && s.Anchor.holds(login) || s.Anchor.knows(login.Password)
}

// same tells that the secrets can stay as they are.
func (s clusterSecrets) same(login vsphere.Login) bool { return s.own && s.Anchor.same(login) }

// anchor is the vCenter that a cluster's secrets may be given to, and who may say otherwise. Anyone can seal a password to
// the gateway's key, so a hub that lies can make up an account that leads to a vCenter of its own; but it cannot open the
// anchor, and so cannot have the secrets of a cluster that exists put into machines there.
type anchor struct {
	VCenter  string       `json:"vcenter"`
	Username string       `json:"username"`
	Trust    hubapi.Trust `json:"trust"`
	Password string       `json:"password"`
}

func anchorAt(login vsphere.Login) anchor {
	return anchor{VCenter: login.Host, Username: login.Username, Trust: hubapi.Trust(login.Trust), Password: login.Password}
}

// holds tells whether a login that has succeeded is the owner's: at the same vCenter, or with the same password. What else
// has changed is then taken over.
func (a anchor) holds(login vsphere.Login) bool {
	return a.at(login) || a.knows(login.Password)
}

// same tells that nothing has changed.
func (a anchor) same(login vsphere.Login) bool {
	return a.at(login) && a.knows(login.Password) && a.Username == login.Username
}

func (a anchor) at(login vsphere.Login) bool {
	return a.VCenter == login.Host && sameTrust(a.Trust, hubapi.Trust(login.Trust))
}

// knows tells whether somebody has the password.
func (a anchor) knows(password string) bool {
	return subtle.ConstantTimeCompare([]byte(a.Password), []byte(password)) == 1
}

func sameTrust(a, b hubapi.Trust) bool {
	return a.CACertificate == b.CACertificate && a.Insecure == b.Insecure && slices.Equal(a.Thumbprints, b.Thumbprints)
}

func (g *Gateway) openSecrets(binding seal.Binding, sealed []byte) (clusterSecrets, error) {
	var kept clusterSecrets
	text, own, err := g.cfg.Identity.Key.OpenOwn(binding, sealed)
	if err != nil {
		return kept, fmt.Errorf("opening the cluster's secrets: %w", err)
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return kept, fmt.Errorf("reading the cluster's secrets: %w", err)
	}
	kept.own = own
	return kept, nil
}

// sealFor seals the secrets for another gateway.
func (s clusterSecrets) sealFor(publicKey []byte, binding seal.Binding) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's secrets: %w", err)
	}
	return seal.Seal(publicKey, binding, text)
}

// sealSecrets seals the secrets for this gateway.
func (g *Gateway) sealSecrets(s clusterSecrets, binding seal.Binding) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's secrets: %w", err)
	}
	return g.cfg.Identity.Key.SealOwn(binding, text)
}

// secretsBinding is what a cluster's secrets are sealed for.
func secretsBinding(project, gatewayID, clusterID string) seal.Binding {
	return seal.Binding{Purpose: seal.PurposeClusterSecrets, Project: project, Gateway: gatewayID, Object: clusterID}
}

// ensureSecrets opens the cluster's PKI, or makes it and waits until the hub has kept it: a machine that boots with a
// PKI that is then forgotten would be lost.
func (r *reconcile) ensureSecrets(ctx context.Context) error {
	binding := secretsBinding(r.assignment.Project, r.gateway.cfg.Identity.ID, r.assignment.ID)
	login := r.session.Login()
	var kept clusterSecrets
	var err error
	if len(r.assignment.SealedSecrets) > 0 {
		if kept, err = r.gateway.openSecrets(binding, r.assignment.SealedSecrets); err != nil {
			return err
		}
		if err := r.gateway.mayHave(kept, login); err != nil {
			return err
		}
		r.secrets = kept.Secrets
		if kept.same(login) {
			return nil
		}
	} else if kept.Secrets, err = bootstrap.NewSecrets(r.gateway.now()); err != nil {
		return err
	}
	if kept.Origin == "" {
		kept.Origin = r.gateway.cfg.Identity.ID
	}
	kept.Anchor = anchorAt(login)
	sealed, err := r.gateway.sealSecrets(kept, binding)
	if err != nil {
		return err
	}
	if err := r.reporter.keepSecrets(ctx, sealed); err != nil {
		return err
	}
	r.secrets = kept.Secrets
	r.worker.keep(func(a *gatewayapi.Assignment) { a.SealedSecrets = sealed })
	return nil
}

// anchor binds the secrets of an account's clusters to the account as it is now, where the login shows that the change is
// the owner's.
func (g *Gateway) anchor(ctx context.Context, r gatewayapi.AnchorRequest) (gatewayapi.AnchorAnswer, error) {
	var answer gatewayapi.AnchorAnswer
	session, err := g.accounts.session(ctx, r.Account)
	if err != nil {
		return answer, err
	}
	login := session.Login()
	for _, c := range r.Clusters {
		binding := secretsBinding(r.Account.Project, g.cfg.Identity.ID, c.ID)
		kept, err := g.openSecrets(binding, c.SealedSecrets)
		if err != nil {
			return answer, err
		}
		if kept.same(login) {
			continue
		}
		if err := g.mayHave(kept, login); err != nil {
			return answer, err
		}
		kept.Anchor = anchorAt(login)
		sealed, err := g.sealSecrets(kept, binding)
		if err != nil {
			return answer, err
		}
		answer.Clusters = append(answer.Clusters, gatewayapi.SealedCluster{ID: c.ID, SealedSecrets: sealed})
	}
	return answer, nil
}

// mayHave tells why a login that has succeeded may not have a cluster's secrets, if so. A hub can try passwords on a vCenter
// of its own, which locks nobody out, and see here whether one was right: after a few that were not, no more are looked at.
func (g *Gateway) mayHave(s clusterSecrets, login vsphere.Login) error {
	if s.same(login) {
		return nil
	}
	if err := g.mayGuess(); err != nil {
		return err
	}
	if !s.belongTo(login) {
		g.guesses.wrong(g.now())
		return notAnchored(login.Host, s.Anchor.VCenter)
	}
	return nil
}

// mayGuess tells whether one more password may be looked at that need not be the owner's.
func (g *Gateway) mayGuess() error {
	if g.guesses.left(g.now()) {
		return nil
	}
	return hubapi.NewProblem(hubapi.CodeRateLimited, "too many logins were not those of the clusters' owners lately").
		WithHint("The gateway looks at others again within the hour.")
}

// originOf is the gateway that machines' identities are derived with: the one that made the cluster, whichever works on it
// now. The hub's word does not count for another one than this: it could have the machines of any gateway taken for the
// cluster's. What is not in the secrets was made here.
func (g *Gateway) originOf(a gatewayapi.Assignment, login vsphere.Login) (string, error) {
	mine := g.cfg.Identity.ID
	if a.Status.Origin == "" || a.Status.Origin == mine || len(a.SealedSecrets) == 0 {
		return mine, nil
	}
	kept, err := g.openSecrets(secretsBinding(a.Project, mine, a.ID), a.SealedSecrets)
	if err != nil {
		return "", err
	}
	if err := g.mayHave(kept, login); err != nil {
		return "", err
	}
	return cmp.Or(kept.Origin, mine), nil
}

const (
	// guessesAllowed is how many logins within guessesWithin may turn out not to be those of a cluster's owner.
	guessesAllowed = 10
	guessesWithin  = time.Hour
)

// guesses are the logins that were not those of a cluster's owner.
type guesses struct {
	mu sync.Mutex
	at []time.Time
}

func (g *guesses) left(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = slices.DeleteFunc(g.at, func(at time.Time) bool { return now.Sub(at) > guessesWithin })
	return len(g.at) < guessesAllowed
}

func (g *guesses) wrong(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.at = append(g.at, now)
}

func notAnchored(now, before string) *hubapi.Problem {
	p := hubapi.NewProblem(hubapi.CodeUntrusted,
		"the account has clusters whose secrets were made for vCenter %s; it now leads to %s or trusts another certificate, "+
			"with another password", before, now)
	p.Field = "/vcenter"
	return p.WithHint("Change address or trust in one apply and the password in another, so that the gateway can tell the owner of the " +
		"account from somebody who only relays it.")
}
