package hub

import (
	"context"
	"errors"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// keeping works out what a batch of reports changes, to be written at once.
type keeping struct {
	hub      *Hub
	cursor   store.Cursor
	clusters map[string]*clusterDoc // nil for a cluster that is gone or unknown
	pools    map[string]*poolDoc
	changed  map[*store.Record]encoder
	removed  []*store.Record
	events   []store.ClusterEvent
}

// encoder is a document of either kind.
type encoder interface{ encode() (*store.Record, error) }

func newKeeping(h *Hub, cursor store.Cursor) *keeping {
	return &keeping{
		hub: h, cursor: cursor,
		clusters: map[string]*clusterDoc{}, pools: map[string]*poolDoc{}, changed: map[*store.Record]encoder{},
	}
}

// take works one report in. What was kept before is passed over.
func (k *keeping) take(ctx context.Context, r gatewayapi.Report) error {
	if r.Boot != k.cursor.Boot {
		k.cursor.Boot, k.cursor.Seq = r.Boot, 0
	}
	if r.Seq <= k.cursor.Seq {
		return nil
	}
	k.cursor.Seq = r.Seq
	if r.Cluster != nil {
		if err := k.takeCluster(ctx, r, *r.Cluster); err != nil {
			return err
		}
	}
	if r.Pool != nil {
		return k.takePool(ctx, *r.Pool)
	}
	return nil
}

func (k *keeping) takeCluster(ctx context.Context, r gatewayapi.Report, said gatewayapi.ClusterReport) error {
	_, looked := k.clusters[said.ID]
	d, err := known[cluster.Spec, hubapi.ClusterStatus](ctx, k, k.clusters, store.KindCluster, said.ID)
	if err != nil || d == nil {
		return err
	}
	if !looked {
		account, err := k.hub.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
		if err != nil || account.Spec.GatewayID != k.cursor.Gateway {
			k.clusters[said.ID] = nil // whoever has it now reports on it
			return ignoreMissing(err)
		}
	}
	// A record that lives may only go if a delete was begun and taken back, because its answer was lost.
	if said.Gone && (d.DeletedAt != nil || said.Generation > d.Generation) {
		k.clusters[d.ID] = nil
		delete(k.changed, d.Record)
		k.removed = append(k.removed, d.Record)
		k.event(d, r, said)
		return nil
	}
	said.Gone = false
	before, observed := d.Status.Phase, d.ObservedGeneration
	d.Status = mergeStatus(d.Status, said.Status)
	d.ObservedGeneration = max(observed, min(said.ObservedGeneration, d.Generation))
	if len(said.SealedSecrets) > 0 {
		d.Sealed = said.SealedSecrets
	}
	k.changed[d.Record] = d
	if said.Message != "" || d.Status.Phase != before || d.ObservedGeneration != observed {
		k.event(d, r, said)
	}
	return nil
}

func (k *keeping) event(d *clusterDoc, r gatewayapi.Report, said gatewayapi.ClusterReport) {
	at := r.Time
	if at.IsZero() {
		at = k.hub.now()
	}
	observed := d.ObservedGeneration
	if said.Gone {
		observed = d.Generation
	}
	k.events = append(k.events, store.ClusterEvent{ClusterID: d.ID, Project: d.Project, Event: hubapi.Event{
		Time: at.UTC(), Phase: d.Status.Phase, Generation: d.Generation, ObservedGeneration: observed,
		Machine: said.Machine, Message: said.Message, Gone: said.Gone, Warnings: said.Warnings,
	}})
}

func (k *keeping) takePool(ctx context.Context, said gatewayapi.PoolReport) error {
	d, err := known[hubapi.IPPoolSpec, hubapi.IPPoolStatus](ctx, k, k.pools, store.KindIPPool, said.ID)
	if err != nil || d == nil || d.Spec.GatewayID != k.cursor.Gateway {
		return err
	}
	said.Status.Since = d.Status.Since
	d.Status = said.Status // it is counted anew whenever it is read
	k.changed[d.Record] = d
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, hubapi.ErrNotFound) {
		return nil
	}
	return err
}

// known returns the document a report is about, nil when the hub does not have it.
func known[S, T any](
	ctx context.Context, k *keeping, seen map[string]*document[S, T], kind store.Kind, id string,
) (*document[S, T], error) {
	if d, ok := seen[id]; ok {
		return d, nil
	}
	record, err := k.hub.store.Get(ctx, kind, id)
	if errors.Is(err, store.ErrNoRecord) {
		seen[id] = nil
		return nil, nil //nolint:nilnil // A report on what is gone is not an error.
	}
	if err != nil {
		return nil, err
	}
	d, err := decode[S, T](record)
	if err != nil {
		return nil, err
	}
	seen[id] = d
	return d, nil
}

func (k *keeping) commit(ctx context.Context) error {
	b := store.Batch{Remove: k.removed, Events: k.events, Cursor: &k.cursor}
	for _, d := range k.changed {
		record, err := d.encode()
		if err != nil {
			return err
		}
		b.Put = append(b.Put, record)
	}
	return k.hub.store.Commit(ctx, b)
}

// announce wakes those who watch a cluster that something happened to.
func (k *keeping) announce() {
	for _, e := range k.events {
		k.hub.feed.wake(e.ClusterID)
	}
	for _, r := range k.removed {
		k.hub.given.forget(r.ID)
	}
}
