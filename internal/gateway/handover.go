package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// handOver seals the secrets of an account's clusters to the gateway that gets them. It does so on the word of one who
// knows the vCenter's password, and for the key that one names: whoever relays the request knows neither.
func (g *Gateway) handOver(ctx context.Context, r gatewayapi.HandoverRequest) (gatewayapi.HandoverAnswer, error) {
	if err := g.accounts.mayUse(r.Account); err != nil {
		return gatewayapi.HandoverAnswer{}, err
	}
	word, err := g.openHandover(r)
	if err != nil {
		return gatewayapi.HandoverAnswer{}, err
	}
	var answer gatewayapi.HandoverAnswer
	for _, c := range r.Clusters {
		sealed, err := g.resealCluster(ctx, r, c, word)
		if err != nil {
			return gatewayapi.HandoverAnswer{}, fmt.Errorf("handing over cluster %s: %w", c.ID, err)
		}
		answer.Clusters = append(answer.Clusters, gatewayapi.SealedCluster{ID: c.ID, SealedSecrets: sealed})
	}
	return answer, nil
}

func (g *Gateway) openHandover(r gatewayapi.HandoverRequest) (hubapi.Handover, error) {
	var word hubapi.Handover
	binding := hubapi.HandoverBinding(r.Account.Project, r.Account.ID, g.cfg.Identity.ID)
	text, err := g.cfg.Identity.Key.Open(binding, r.Sealed)
	if err != nil {
		return word, notHandedOver("the word to hand its clusters over cannot be opened: %s", err)
	}
	if err := json.Unmarshal(text, &word); err != nil {
		return word, notHandedOver("the word to hand its clusters over cannot be read")
	}
	switch fingerprint := seal.Fingerprint(r.PublicKey); {
	case word.Gateway != r.Gateway:
		return word, notHandedOver("its owner names gateway %s, and the hub gateway %s", word.Gateway, r.Gateway)
	case word.Fingerprint != fingerprint:
		return word, notHandedOver("its owner names the key %s of gateway %s, and the hub shows %s", word.Fingerprint, r.Gateway, fingerprint)
	case g.now().After(word.Expires):
		return word, notHandedOver("the word to hand its clusters over was good until %s", word.Expires.Format(time.RFC3339))
	}
	return word, nil
}

func notHandedOver(format string, args ...any) *hubapi.Problem {
	p := hubapi.NewProblem(hubapi.CodeUntrusted, "the cloud account's clusters are not handed over: "+format, args...)
	p.Field = "/gateway_id"
	return p
}

// resealCluster opens a cluster's secrets and seals them to the other gateway, with the password by which that one knows
// that they are the owner's.
func (g *Gateway) resealCluster(
	ctx context.Context, r gatewayapi.HandoverRequest, c gatewayapi.SealedCluster, word hubapi.Handover,
) ([]byte, error) {
	binding := secretsBinding(r.Account.Project, g.cfg.Identity.ID, c.ID)
	kept, err := g.openSecrets(binding, c.SealedSecrets)
	if err != nil {
		return nil, err
	}
	if err := g.prove(ctx, kept, word); err != nil {
		return nil, err
	}
	kept.Anchor.Password = word.Password
	kept.Origin = cmp.Or(kept.Origin, g.cfg.Identity.ID)
	binding.Gateway = r.Gateway
	return kept.sealFor(r.PublicKey, binding)
}

// prove tells whether a password is that of the vCenter which the cluster's secrets were made for: the one that was used
// last, or a newer one that the vCenter takes. What the hub says of the account does not count, nor do secrets that it may
// have made up: the password goes nowhere but where its owner says.
func (g *Gateway) prove(ctx context.Context, kept clusterSecrets, word hubapi.Handover) error {
	made := kept.Anchor
	if err := g.mayGuess(); err != nil {
		return err
	}
	if made.knows(word.Password) {
		return nil
	}
	if !kept.own || made.VCenter != word.VCenter || made.Username != word.Username || !sameTrust(made.Trust, word.Trust) {
		g.guesses.wrong(g.now())
		return notHandedOver("the secrets of a cluster are bound to %s at vCenter %s, and its owner gives another password for %s at %s; "+
			"change user, address or trust, and the gateway, one after the other", made.Username, made.VCenter, word.Username, word.VCenter)
	}
	if g.cfg.Policy != nil {
		if err := g.cfg.Policy.VCenter(made.VCenter); err != nil {
			return err
		}
	}
	session, err := vsphere.Open(ctx, g.accounts.sessionConfig(made.VCenter, made.Username, word.Password, vsphere.Trust(made.Trust)))
	if err != nil {
		g.guesses.wrong(g.now())
		return err
	}
	return session.Close(ctx)
}

// origin is the gateway that machines' identities are derived with.
func (g *Gateway) origin(a gatewayapi.Assignment) string {
	return cmp.Or(a.Status.Origin, g.cfg.Identity.ID)
}

// owns tells whether a machine belongs to a cluster.
func (g *Gateway) owns(a gatewayapi.Assignment, o cluster.Owner) bool {
	return o.Gateway == g.origin(a) && o.Cluster == a.ID
}
