package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// maxMessage bounds what a gateway may say for people at once, and maxBoot the name of its life, in bytes.
	maxMessage = 8 << 10
	maxBoot    = 64
	// maxClockApart is how far a gateway's clock may be from the hub's before the hub's counts.
	maxClockApart = 24 * time.Hour
)

// errFenced tells that the reports belong to another instance of the hub, or to another holder of the lease.
var errFenced = errors.New("the lease is no longer given by this instance of the hub, or has another holder")

// keeping works out what a batch of reports changes, to be written at once.
type keeping struct {
	hub    *Hub
	link   Link
	cursor store.Cursor
	// lease is written with the reports as it is, so that they are not kept once somebody else gives it; nil for a gateway
	// that needs none.
	lease    *store.Record
	clusters map[string]*clusterDoc // nil for a cluster that is gone or unknown
	pools    map[string]*poolDoc
	changed  map[*store.Record]encoder
	removed  []*store.Record
	events   []store.ClusterEvent
	gateways map[string]string // by project and cloud account
	refused  map[string]int    // how many reports, by reason
	resigned bool              // the replica has stopped its work
}

// encoder is a document of either kind.
type encoder interface{ encode() (*store.Record, error) }

func newKeeping(ctx context.Context, h *Hub, link Link, cursor store.Cursor) (*keeping, error) {
	k := &keeping{
		hub: h, link: link, cursor: cursor,
		clusters: map[string]*clusterDoc{}, pools: map[string]*poolDoc{}, changed: map[*store.Record]encoder{},
		gateways: map[string]string{}, refused: map[string]int{},
	}
	if link.Epoch == 0 {
		return k, nil
	}
	lease, err := roster.LoadLease(ctx, h.store, link.Gateway)
	if err != nil {
		return nil, err
	}
	if lease.Status.Instance != link.Instance || lease.Status.Epoch != link.Epoch {
		h.gateways.Recheck(link.Gateway)
		return nil, errFenced
	}
	k.lease = lease.Record
	return k, nil
}

// take works one report in. What was kept before is passed over, and so is what the gateway has no say in.
func (k *keeping) take(ctx context.Context, r gatewayapi.Report) error {
	if len(r.Boot) > maxBoot {
		return fmt.Errorf("gateway %s names its life with %d bytes", k.link.Gateway, len(r.Boot))
	}
	if r.Boot != k.cursor.Boot {
		k.cursor.Boot, k.cursor.Seq = r.Boot, 0
	}
	if r.Seq <= k.cursor.Seq {
		return nil
	}
	k.cursor.Seq = r.Seq
	if k.link.Epoch != 0 && r.Epoch != k.link.Epoch {
		k.refused["of another epoch"]++
		return nil
	}
	k.resigned = k.resigned || r.Resigned
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
	d, err := known[cluster.Spec, hubapi.ClusterStatus](ctx, k, k.clusters, store.KindCluster, said.ID)
	if err != nil || d == nil {
		return err
	}
	if mine, err := k.mine(ctx, d); err != nil || !mine {
		return err
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
	if now := k.hub.now(); at.Before(now.Add(-maxClockApart)) || at.After(now.Add(maxClockApart)) {
		at = now
	}
	observed := d.ObservedGeneration
	if said.Gone {
		observed = d.Generation
	}
	k.events = append(k.events, store.ClusterEvent{ClusterID: d.ID, Project: d.Project, Event: hubapi.Event{
		Time: at.UTC(), Phase: d.Status.Phase, Generation: d.Generation, ObservedGeneration: observed,
		Machine: cut(said.Machine, maxMessage), Message: cut(said.Message, maxMessage), Gone: said.Gone, Warnings: said.Warnings,
	}})
}

func (k *keeping) takePool(ctx context.Context, said gatewayapi.PoolReport) error {
	d, err := known[hubapi.IPPoolSpec, hubapi.IPPoolStatus](ctx, k, k.pools, store.KindIPPool, said.ID)
	if err != nil || d == nil {
		return err
	}
	if !k.inProject(d.Project) || d.Spec.GatewayID != k.link.Gateway {
		k.refused["on another gateway's address pool"]++
		return nil
	}
	said.Status.Since = d.Status.Since
	d.Status = said.Status // it is counted anew whenever it is read
	k.changed[d.Record] = d
	return nil
}

// inProject tells whether the gateway may report on what is in the project.
func (k *keeping) inProject(project string) bool {
	return k.link.Project == "" || k.link.Project == project
}

// mine tells whether a cluster is the gateway's that reports on it.
func (k *keeping) mine(ctx context.Context, d *clusterDoc) (bool, error) {
	key := d.Project + "/" + d.Spec.CloudAccountID
	gateway, ok := k.gateways[key]
	if !ok {
		account, err := k.hub.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
		if err != nil && !errors.Is(err, hubapi.ErrNotFound) {
			return false, err
		}
		if err == nil {
			gateway = account.Spec.GatewayID
		}
		k.gateways[key] = gateway
	}
	if k.inProject(d.Project) && gateway == k.link.Gateway {
		return true, nil
	}
	k.refused["on another gateway's cluster"]++
	return false, nil
}

// cut bounds a text.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
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
	if k.lease != nil {
		b.Put = append(b.Put, k.lease)
	}
	for _, e := range k.events {
		if topic := clusterTopic + e.ClusterID; !slices.Contains(b.Wakes, topic) {
			b.Wakes = append(b.Wakes, topic)
		}
	}
	return k.hub.store.Commit(ctx, b)
}

// announce forgets what is gone, and logs what was refused. Those who watch were woken by the store.
func (k *keeping) announce(ctx context.Context) {
	for reason, count := range k.refused {
		k.hub.log.WarnContext(ctx, "gateway's reports refused",
			"gateway_id", k.link.Gateway, "reason", reason, "count", count, "epoch", k.link.Epoch)
	}
	for _, r := range k.removed {
		k.hub.given.forget(r.ID)
	}
}
