package hub

import (
	"context"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// anchored returns the records of an account's clusters whose secrets follow a change of the account. The gateway seals them
// anew when it can tell that the change is the owner's; the hub can neither read nor move them.
func (h *Hub) anchored(ctx context.Context, account *accountDoc) ([]*store.Record, error) {
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{Project: account.Project})
	if err != nil {
		return nil, err
	}
	request := gatewayapi.AnchorRequest{Account: gatewayAccount(account)}
	request.Account.Revision++ // the one it will have when it is kept
	byID := map[string]*store.Record{}
	for _, d := range docs {
		if d.Spec.CloudAccountID == account.ID && len(d.Sealed) > 0 {
			byID[d.ID] = d.Record
			request.Clusters = append(request.Clusters, gatewayapi.SealedCluster{ID: d.ID, SealedSecrets: d.Sealed})
		}
	}
	if len(byID) == 0 {
		return nil, nil
	}
	client, err := h.reach(ctx, account.Project, account.Spec.GatewayID)
	if err != nil {
		return nil, err
	}
	answer, err := client.Anchor(ctx, request)
	if err != nil {
		return nil, fromGateway(account.Spec.GatewayID, err)
	}
	var records []*store.Record
	for _, sealed := range answer.Clusters {
		if r := byID[sealed.ID]; r != nil && len(sealed.SealedSecrets) > 0 {
			r.Sealed = sealed.SealedSecrets
			records = append(records, r)
		}
	}
	return records, nil
}
