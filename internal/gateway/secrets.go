package gateway

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"

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
}

// anchor is the vCenter that a cluster's secrets may be given to, and who may say otherwise. Anyone can seal a password to the gateway's key, so a hub
// that lies can make up an account that leads to a vCenter of its own; but it cannot open the anchor, and so cannot have
// the secrets of a cluster that exists put into machines there.
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
	text, err := g.cfg.Identity.Key.Open(binding, sealed)
	if err != nil {
		return kept, fmt.Errorf("opening the cluster's secrets: %w", err)
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return kept, fmt.Errorf("reading the cluster's secrets: %w", err)
	}
	return kept, nil
}

func (s clusterSecrets) seal(publicKey []byte, binding seal.Binding) ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the cluster's secrets: %w", err)
	}
	return seal.Seal(publicKey, binding, text)
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
		if !kept.Anchor.holds(login) {
			return notAnchored(login.Host, kept.Anchor.VCenter)
		}
		r.secrets = kept.Secrets
		if kept.Anchor.same(login) {
			return nil
		}
	} else if kept.Secrets, err = bootstrap.NewSecrets(r.gateway.now()); err != nil {
		return err
	}
	kept.Anchor = anchorAt(login)
	sealed, err := kept.seal(r.gateway.cfg.Identity.Key.PublicKey(), binding)
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
		if kept.Anchor.same(login) {
			continue
		}
		if !kept.Anchor.holds(login) {
			return answer, notAnchored(login.Host, kept.Anchor.VCenter)
		}
		kept.Anchor = anchorAt(login)
		sealed, err := kept.seal(g.cfg.Identity.Key.PublicKey(), binding)
		if err != nil {
			return answer, err
		}
		answer.Clusters = append(answer.Clusters, gatewayapi.SealedCluster{ID: c.ID, SealedSecrets: sealed})
	}
	return answer, nil
}

func notAnchored(now, before string) *hubapi.Problem {
	p := hubapi.NewProblem(hubapi.CodeUntrusted,
		"the account has clusters whose secrets were made for vCenter %s; it now leads to %s or trusts another certificate, with another password",
		before, now)
	p.Field = "/vcenter"
	return p.WithHint("Change address or trust in one apply and the password in another, so that the gateway can tell the owner of the " +
		"account from somebody who only relays it.")
}
