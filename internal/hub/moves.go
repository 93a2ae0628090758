package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// moveAccount gives a cloud account, and with it its clusters, to another gateway. No machine is touched: the new gateway
// takes over what the owner records say. The one that is left seals the clusters' secrets to the new one, on the word of
// the account's owner; the hub can read neither.
func (h *Hub) moveAccount(ctx context.Context, old, next *accountDoc, handover []byte) error {
	for range maxTries {
		err := h.tryMove(ctx, old, next, handover)
		if !errors.Is(err, store.ErrStale) {
			return err
		}
	}
	return store.ErrStale
}

func (h *Hub) tryMove(ctx context.Context, old, next *accountDoc, handover []byte) error {
	clusters, err := h.clustersOf(ctx, old)
	if err != nil {
		return err
	}
	if err := h.verify(ctx, next); err != nil {
		return err
	}
	if err := h.handOver(ctx, old, next, handover, clusters); err != nil {
		return err
	}
	// A cluster that is begun meanwhile refers to the account as it was.
	unlock, err := h.store.Lock(ctx, "references")
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.checkGateway(ctx, next.Project, next.Spec.GatewayID); err != nil {
		return err
	}
	now, err := h.clustersOf(ctx, old)
	if err != nil {
		return err
	}
	if len(now) != len(clusters) {
		return store.ErrStale
	}
	record, err := next.encode()
	if err != nil {
		return err
	}
	batch := store.Batch{Put: []*store.Record{record}}
	for _, c := range clusters {
		record, err := c.encode()
		if err != nil {
			return err
		}
		batch.Put = append(batch.Put, record)
	}
	if err := h.store.Commit(ctx, batch); err != nil {
		return err
	}
	for _, c := range clusters {
		h.given.forget(c.ID)
	}
	h.log.InfoContext(ctx, "cloud account moved to another gateway", "cloud_account_id", next.ID,
		"from", old.Spec.GatewayID, "to", next.Spec.GatewayID, "clusters", len(clusters))
	return nil
}

// clustersOf returns the clusters that go with an account. One that is being worked on keeps the account where it is.
func (h *Hub) clustersOf(ctx context.Context, account *accountDoc) ([]*clusterDoc, error) {
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{Project: account.Project})
	if err != nil {
		return nil, err
	}
	var clusters []*clusterDoc
	var busy []string
	for _, d := range docs {
		if d.Spec.CloudAccountID != account.ID {
			continue
		}
		clusters = append(clusters, d)
		if unfinished(d) {
			busy = append(busy, fmt.Sprintf("%q", d.Name))
		}
	}
	if len(busy) > 0 {
		p := hubapi.NewProblem(hubapi.CodeBusy, "cloud account %q cannot change its gateway while clusters are being worked on: %s",
			account.Name, strings.Join(busy, ", ")).WithHint("Wait for their applies to end, then apply again.")
		p.Field = "/gateway_id"
		return nil, p
	}
	return clusters, nil
}

// handOver has the clusters' secrets sealed to the new gateway, and notes whose machines they are.
func (h *Hub) handOver(ctx context.Context, old, next *accountDoc, handover []byte, clusters []*clusterDoc) error {
	request := gatewayapi.HandoverRequest{Account: gatewayAccount(old), Sealed: handover, Gateway: next.Spec.GatewayID}
	byID := map[string]*clusterDoc{}
	for _, c := range clusters {
		if c.Status.Origin == "" {
			c.Status.Origin = old.Spec.GatewayID
		}
		if len(c.Sealed) > 0 {
			byID[c.ID] = c
			request.Clusters = append(request.Clusters, gatewayapi.SealedCluster{ID: c.ID, SealedSecrets: c.Sealed})
		}
	}
	if len(byID) == 0 {
		return nil
	}
	if len(handover) == 0 {
		return invalid("/gateway_id", "cloud account %q has clusters: the word to hand them over is missing, write with a newer client", old.Name)
	}
	to, err := h.reach(ctx, next.Project, next.Spec.GatewayID)
	if err != nil {
		return err
	}
	info, err := to.Info(ctx)
	if err != nil {
		return fromGateway(next.Spec.GatewayID, err)
	}
	request.PublicKey = info.PublicKey
	from, err := h.reach(ctx, old.Project, old.Spec.GatewayID)
	if err != nil {
		return notReachedForHandover(old, err)
	}
	answer, err := from.HandOver(ctx, request)
	if err != nil {
		return notReachedForHandover(old, fromGateway(old.Spec.GatewayID, err))
	}
	for _, sealed := range answer.Clusters {
		if c := byID[sealed.ID]; c != nil && len(sealed.SealedSecrets) > 0 {
			c.Sealed = sealed.SealedSecrets
			delete(byID, sealed.ID)
		}
	}
	if len(byID) > 0 {
		return hubapi.NewProblem(hubapi.CodeInternal, "gateway %s did not hand over all clusters", old.Spec.GatewayID)
	}
	return takeOver(ctx, to, next, clusters)
}

// takeOver has the gateway that gets the clusters seal their secrets to itself, while the password tells it that they are the
// owner's: it may be another one when the clusters are worked on next.
func takeOver(ctx context.Context, to *gatewayapi.Client, next *accountDoc, clusters []*clusterDoc) error {
	request := gatewayapi.AnchorRequest{Account: gatewayAccount(next)}
	request.Account.Revision++ // the one it will have when it is kept
	byID := map[string]*clusterDoc{}
	for _, c := range clusters {
		if len(c.Sealed) > 0 {
			byID[c.ID] = c
			request.Clusters = append(request.Clusters, gatewayapi.SealedCluster{ID: c.ID, SealedSecrets: c.Sealed})
		}
	}
	answer, err := to.Anchor(ctx, request)
	if err != nil {
		return fromGateway(next.Spec.GatewayID, err)
	}
	for _, sealed := range answer.Clusters {
		if c := byID[sealed.ID]; c != nil && len(sealed.SealedSecrets) > 0 {
			c.Sealed = sealed.SealedSecrets
		}
	}
	return nil
}

// notReachedForHandover says what an unreachable gateway means for a move: it alone can open its clusters' secrets.
func notReachedForHandover(old *accountDoc, err error) error {
	p := hubapi.AsProblem(err)
	if p.Code != hubapi.CodeUnreachable && p.Code != hubapi.CodeNotFound {
		return err
	}
	refused := hubapi.NewProblem(hubapi.CodeUnreachable,
		"cloud account %q has clusters, whose secrets only gateway %s can open, and it does not answer: %s",
		old.Name, old.Spec.GatewayID, p.Detail)
	refused.Field = "/gateway_id"
	return refused.WithHint("Start that gateway, or make it anew with the organisation's recovery key, and apply again.")
}
