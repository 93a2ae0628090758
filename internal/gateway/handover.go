package gateway

import (
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
		sealed, err := g.resealCluster(ctx, r, c, word.Password)
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

// resealCluster opens a cluster's secrets and seals them to the other gateway.
func (g *Gateway) resealCluster(
	ctx context.Context, r gatewayapi.HandoverRequest, c gatewayapi.SealedCluster, password string,
) ([]byte, error) {
	binding := secretsBinding(r.Account.Project, g.cfg.Identity.ID, c.ID)
	kept, err := g.openSecrets(binding, c.SealedSecrets)
	if err != nil {
		return nil, err
	}
	if err := g.prove(ctx, kept.Anchor, password); err != nil {
		return nil, err
	}
	binding.Gateway = r.Gateway
	return kept.seal(r.PublicKey, binding)
}

// prove tells whether a password is that of the vCenter which the cluster's secrets were made for: the one that was used
// last, or a newer one that the vCenter takes. What the hub says of the account does not count.
func (g *Gateway) prove(ctx context.Context, made anchor, password string) error {
	if made.knows(password) {
		return nil
	}
	session, err := vsphere.Open(ctx, g.accounts.sessionConfig(made.VCenter, made.Username, password, vsphere.Trust(made.Trust)))
	if err != nil {
		return err
	}
	return session.Close(ctx)
}

// origin is the gateway that machines' identities are derived with: the one that made the cluster, whichever works on it
// now.
func (g *Gateway) origin(a gatewayapi.Assignment) string {
	if a.Status.Origin != "" {
		return a.Status.Origin
	}
	return g.cfg.Identity.ID
}

// owns tells whether a machine belongs to a cluster.
func (g *Gateway) owns(a gatewayapi.Assignment, o cluster.Owner) bool {
	return o.Gateway == g.origin(a) && o.Cluster == a.ID
}
