package hub

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

type gatewayDoc = document[hubapi.GatewaySpec, roster.GatewayStatus]

func (h *Hub) loadGateway(ctx context.Context, project, id string) (*gatewayDoc, error) {
	return load[hubapi.GatewaySpec, roster.GatewayStatus](ctx, h.store, store.KindGateway, project, id)
}

// gatewayOf returns a gateway with what is known of its connections at the moment.
func (h *Hub) gatewayOf(d *gatewayDoc) hubapi.Gateway {
	p, _ := h.gateways.Presence(d.ID)
	return hubapi.Gateway{Meta: d.meta(), Spec: d.Spec, Status: gatewayStatus(d, p)}
}

func gatewayStatus(d *gatewayDoc, p Presence) hubapi.GatewayStatus {
	status := hubapi.GatewayStatus{State: hubapi.GatewayOffline}
	if len(d.Status.PublicKey) > 0 {
		status.PublicKey = base64.StdEncoding.EncodeToString(d.Status.PublicKey)
		status.Voucher = d.Status.Voucher
		for _, r := range d.Status.Rotations {
			former := base64.StdEncoding.EncodeToString(r.From)
			status.FormerKeys = append([]string{former}, status.FormerKeys...)
		}
		status.Recoverable = len(d.Status.Escrow) > 0 && d.Status.EscrowFor == d.Spec.RecoveryKey
	} else {
		status.State = hubapi.GatewayPending
	}
	var newest time.Time
	for _, r := range d.Status.Replicas {
		if r.PairedAt == nil {
			continue // It has been let in and has not taken its identity yet.
		}
		replica := hubapi.GatewayReplica{
			ID: r.ID, Name: r.Name, Version: r.Version, PairedAt: *r.PairedAt, LastSeen: r.LastSeen, RevokedAt: r.RevokedAt,
		}
		if live, ok := p.Replicas[r.ID]; ok && r.RevokedAt == nil {
			replica.ConnectedSince, replica.Version, replica.Holder = &live.Since, live.Version, p.Holder == r.ID
			status.State = hubapi.GatewayOnline
		}
		seen := r.LastSeen != nil && r.LastSeen.After(newest)
		if seen {
			newest = *r.LastSeen
		}
		if seen || replica.Holder {
			status.Version = replica.Version
		}
		status.Replicas = append(status.Replicas, replica)
	}
	if i := slices.IndexFunc(status.Replicas, func(r hubapi.GatewayReplica) bool { return r.Holder }); i >= 0 {
		status.Version = status.Replicas[i].Version
	}
	return status
}

func (h *Hub) listGateways(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx, name := r.Context(), r.URL.Query().Get("name")
	items := []hubapi.Gateway{}
	if id := h.gateways.SystemID(); id != "" && (name == "" || name == hubapi.SystemGatewayID) {
		g, err := h.describeSystem(ctx, project)
		if err != nil {
			return answer{}, err
		}
		items = append(items, g)
	}
	docs, err := list[hubapi.GatewaySpec, roster.GatewayStatus](
		ctx, h.store, store.KindGateway, store.Filter{Project: project, Name: name})
	if err != nil {
		return answer{}, err
	}
	for _, d := range docs {
		items = append(items, h.gatewayOf(d))
	}
	return answer{body: hubapi.List[hubapi.Gateway]{Items: items}}, nil
}

func (h *Hub) getGateway(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id := r.PathValue("id")
	if id == hubapi.SystemGatewayID || id == h.gateways.SystemID() {
		g, err := h.describeSystem(r.Context(), project)
		return answer{body: g}, err
	}
	wait, state, err := stateWanted(r)
	if err != nil {
		return answer{}, err
	}
	d, err := h.awaitState(r.Context(), project, id, wait, state)
	if err != nil {
		return answer{}, err
	}
	return answer{generation: d.Generation, body: h.gatewayOf(d)}, nil
}

// maxStateWait is the longest that a request waits for a gateway's state: below what balancers allow.
const maxStateWait = 25 * time.Second

// stateWanted reads for which state a request waits, and how long.
func stateWanted(r *http.Request) (wait time.Duration, state hubapi.GatewayState, err error) {
	query := r.URL.Query()
	if text := query.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			return 0, "", invalid("", "wait is not a duration such as 25s")
		}
	}
	state = hubapi.GatewayState(query.Get("state"))
	switch state {
	case "", hubapi.GatewayOnline, hubapi.GatewayOffline, hubapi.GatewayPending:
		return min(wait, maxStateWait), state, nil
	default:
		return 0, "", invalid("", "there is no state %q of a gateway", truncate(string(state)))
	}
}

// awaitState returns the gateway when it has the state, or as it is when the time is up.
func (h *Hub) awaitState(
	ctx context.Context, project, id string, wait time.Duration, state hubapi.GatewayState,
) (*gatewayDoc, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		// Asked for before the record is read: what comes in between is then not missed.
		var changed <-chan struct{}
		if wait > 0 && state != "" {
			_, changed = h.gateways.Presence(id)
		}
		d, err := h.loadGateway(ctx, project, id)
		if err != nil || changed == nil || h.gatewayOf(d).Status.State == state {
			return d, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return d, nil
		case <-h.stopped:
			return d, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// describeSystem asks the gateway beside the hub who it is.
func (h *Hub) describeSystem(ctx context.Context, project string) (hubapi.Gateway, error) {
	id := h.gateways.SystemID()
	client, err := h.reach(ctx, project, id)
	if err != nil {
		return hubapi.Gateway{}, err
	}
	info, err := client.Info(ctx)
	if err != nil {
		return hubapi.Gateway{}, fromGateway(id, err)
	}
	if info.ID != id {
		return hubapi.Gateway{}, hubapi.NewProblem(hubapi.CodeInternal,
			"the gateway that answers for %s says it is %s", id, truncate(info.ID))
	}
	return hubapi.Gateway{
		Meta:   hubapi.Meta{ID: id, Project: project, Name: hubapi.SystemGatewayID},
		System: true,
		Status: hubapi.GatewayStatus{
			State: hubapi.GatewayOnline, Version: info.Version,
			PublicKey: base64.StdEncoding.EncodeToString(info.PublicKey),
		},
	}, nil
}

func (h *Hub) putGateway(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id, body, o, err := readPut[hubapi.GatewayWrite](w, r)
	if err != nil {
		return answer{}, err
	}
	for range maxTries {
		d, created, err := h.writeGateway(r.Context(), project, id, body, o)
		if errors.Is(err, store.ErrStale) {
			continue // a replica came or went in between
		}
		if err != nil {
			return answer{}, err
		}
		return answer{status: statusOf(created), generation: d.Generation, body: h.gatewayOf(d)}, nil
	}
	return answer{}, store.ErrStale
}

func (h *Hub) writeGateway(
	ctx context.Context, project, id string, body hubapi.GatewayWrite, o hubapi.WriteOptions,
) (d *gatewayDoc, created bool, err error) {
	if err := checkGatewayWrite(body); err != nil {
		return nil, false, err
	}
	d, err = find[hubapi.GatewaySpec, roster.GatewayStatus](ctx, h.store, store.KindGateway, project, id, body.Name, o.Create)
	if err != nil {
		return nil, false, err
	}
	switch {
	case d == nil:
		d = newDocument[hubapi.GatewaySpec, roster.GatewayStatus](store.KindGateway, project, id, body.Name, h.now())
		created = true
	case d.Name == body.Name && same(d.Spec, body.Spec):
		return d, false, nil
	case o.Create:
		return nil, false, exists(d.Record)
	case o.IfGeneration != 0 && o.IfGeneration != d.Generation:
		return nil, false, conflict(d.Record, o.IfGeneration)
	}
	d.Name, d.Spec = body.Name, body.Spec
	d.next()
	d.ObservedGeneration = d.Generation
	record, err := d.encode()
	if err != nil {
		return nil, false, err
	}
	err = h.store.Commit(ctx, store.Batch{Put: []*store.Record{record}})
	if errors.Is(err, store.ErrNameTaken) {
		return nil, false, h.nameTaken(ctx, record)
	}
	return d, created, err
}

const (
	maxLabels     = 64
	maxLabelValue = 256
)

func checkGatewayWrite(w hubapi.GatewayWrite) error {
	if err := checkName(w.Name); err != nil {
		return err
	}
	if w.Name == hubapi.SystemGatewayID {
		return invalid("/name", "%q is the name of the gateway beside a hub", w.Name)
	}
	if len(w.Spec.Labels) > maxLabels {
		return invalid("/labels", "at most %d labels", maxLabels)
	}
	for key, value := range w.Spec.Labels {
		if checkName(key) != nil || len(value) > maxLabelValue {
			return invalid("/labels", "label %q: the name has 1 to %d characters, the value at most %d bytes",
				truncate(key), maxName, maxLabelValue)
		}
	}
	if w.Spec.RecoveryKey == "" {
		return nil
	}
	key, err := base64.StdEncoding.DecodeString(w.Spec.RecoveryKey)
	if err == nil {
		_, err = seal.Seal(key, seal.Binding{}, nil)
	}
	if err != nil {
		return invalid("/recovery_key", "is not a public sealing key in base64")
	}
	return nil
}

// deleteGateway deletes a gateway that nothing uses, with its pairing tokens and its lease, and cuts its tunnels.
func (h *Hub) deleteGateway(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx, id := r.Context(), r.PathValue("id")
	unlock, err := h.store.Lock(ctx, "references")
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	for range maxTries {
		d, err := h.loadGateway(ctx, project, id)
		if err != nil {
			return answer{}, err
		}
		if err := h.gatewayUnused(ctx, d); err != nil || r.URL.Query().Has(hubapi.QueryDryRun) {
			return answer{}, err
		}
		batch, err := h.gatewayRemoval(ctx, d)
		if err != nil {
			return answer{}, err
		}
		err = h.store.Commit(ctx, batch)
		if errors.Is(err, store.ErrStale) {
			continue // a replica came or went in between
		}
		h.gateways.Recheck(id)
		return answer{}, err
	}
	return answer{}, store.ErrStale
}

// gatewayUnused refuses while anything depends on the gateway, and names it.
func (h *Hub) gatewayUnused(ctx context.Context, d *gatewayDoc) error {
	var users []string
	accounts, err := list[hubapi.CloudAccountSpec, hubapi.CloudAccountStatus](
		ctx, h.store, store.KindCloudAccount, store.Filter{Project: d.Project})
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if a.Spec.GatewayID == d.ID {
			users = append(users, fmt.Sprintf("cloud account %q", a.Name))
		}
	}
	pools, err := h.pools(ctx, store.Filter{Project: d.Project})
	if err != nil {
		return err
	}
	for _, p := range pools {
		if p.Spec.GatewayID == d.ID {
			users = append(users, fmt.Sprintf("address pool %q", p.Name))
		}
	}
	if len(users) == 0 {
		return nil
	}
	return inUse("gateway %q is used by %s", d.Name, strings.Join(users, ", ")).
		WithHint("Delete these, or move them to another gateway, first.")
}

func (h *Hub) gatewayRemoval(ctx context.Context, d *gatewayDoc) (store.Batch, error) {
	batch := store.Batch{Remove: []*store.Record{d.Record}, Wakes: []string{roster.Topic(d.ID)}}
	pairings, err := roster.Pairings(ctx, h.store, store.Filter{Project: d.Project})
	if err != nil {
		return batch, err
	}
	for _, p := range pairings {
		if p.Spec.Gateway == d.ID {
			batch.Remove = append(batch.Remove, p.Record)
		}
	}
	lease, err := roster.LoadLease(ctx, h.store, d.ID)
	if errors.Is(err, store.ErrNoRecord) {
		return batch, nil
	}
	if err == nil {
		batch.Remove = append(batch.Remove, lease.Record)
	}
	return batch, err
}

// revokeReplica shuts a replica out for good and cuts its tunnels.
func (h *Hub) revokeReplica(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id, replica := r.PathValue("id"), r.PathValue("replica")
	if err := checkID(replica); err != nil {
		return answer{}, err
	}
	if _, err := h.loadGateway(r.Context(), project, id); err != nil {
		return answer{}, err
	}
	_, err := roster.ChangeGateway(r.Context(), h.store, id, func(g *roster.Gateway) error {
		found := g.Status.Replica(replica)
		switch {
		case found == nil:
			return notFound("gateway %s has no replica %s", id, replica)
		case found.RevokedAt != nil:
			return roster.ErrUnchanged
		}
		found.RevokedAt = new(h.now().UTC())
		return nil
	}, roster.Topic(id))
	if err != nil {
		return answer{}, err
	}
	h.gateways.Recheck(id)
	return answer{}, nil
}
