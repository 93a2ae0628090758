package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// gatewayID resolves "system" and the empty id to the id of the system gateway.
func (h *Hub) gatewayID(id string) string {
	if id == "" || id == hubapi.SystemGatewayID {
		return h.gateways.SystemID()
	}
	return id
}

// checkGateway tells whether a project may use a gateway, connected or not.
func (h *Hub) checkGateway(ctx context.Context, project, id string) error {
	switch id {
	case "":
		return invalid("/gateway_id", "this hub has no system gateway: name a gateway")
	case h.gateways.SystemID():
		return nil
	}
	_, err := h.loadGateway(ctx, project, id)
	return err
}

// gatewayInvalid turns the outcome of checkGateway into a fault of the attribute.
func gatewayInvalid(asked string, err error) error {
	p, ok := errors.AsType[*hubapi.Problem](err)
	if !ok {
		return err
	}
	if p.Code == hubapi.CodeInvalid {
		return p.At("/gateway_id")
	}
	return invalid("/gateway_id", "there is no gateway %s", truncate(asked))
}

// reach returns the way to a gateway for what any of its replicas can answer.
func (h *Hub) reach(ctx context.Context, project, id string) (*gatewayapi.Client, error) {
	if id == "" {
		return nil, notFound("this hub has no system gateway")
	}
	if id != h.gateways.SystemID() {
		d, err := h.loadGateway(ctx, project, id)
		if err != nil {
			return nil, err
		}
		if rt, ok := h.gateways.RoundTripper(id); ok {
			return gatewayapi.NewClient(rt), nil
		}
		return nil, notConnected(d)
	}
	rt, ok := h.gateways.RoundTripper(id)
	if !ok {
		return nil, notFound("there is no gateway %s", id)
	}
	return gatewayapi.NewClient(rt), nil
}

// workerWait is how long is waited for a replica to have the lease, where one is connected: when the one that had it has
// died it takes so long until another one gets it.
const workerWait = 15 * time.Second

// worker returns the way to the replica of a gateway that works on clusters.
func (h *Hub) worker(ctx context.Context, project, id string) (*gatewayapi.Client, error) {
	if id == h.gateways.SystemID() {
		return h.reach(ctx, project, id)
	}
	d, err := h.loadGateway(ctx, project, id)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(workerWait)
	defer timer.Stop()
	for {
		links, relinked := h.gateways.Links()
		for _, link := range links {
			if link.Gateway == id {
				return gatewayapi.NewClient(link.Transport), nil
			}
		}
		p, changed := h.gateways.Presence(id)
		if len(p.Replicas) == 0 {
			return nil, notConnected(d)
		}
		// Another instance of the hub may give the lease; the holder is connected to this one too.
		if _, ok := p.Replicas[p.Holder]; ok && p.Elsewhere {
			rt, ok := h.gateways.RoundTripper(id)
			if ok {
				return gatewayapi.NewClient(rt), nil
			}
		}
		select {
		case <-relinked:
		case <-changed:
		case <-timer.C:
			return nil, withoutHolder(d)
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for gateway %s: %w", id, ctx.Err())
		}
	}
}

// offlineError is the problem of a gateway that is not there at the moment. When it is it is given what is unfinished,
// without anybody asking for it again.
type offlineError struct{ *hubapi.Problem }

// Unwrap makes it the problem that is answered.
func (e *offlineError) Unwrap() error { return e.Problem }

// notConnected tells that a gateway cannot be reached, since when, and what to do.
func notConnected(d *gatewayDoc) error {
	if len(d.Status.PublicKey) == 0 {
		return &offlineError{hubapi.NewProblem(hubapi.CodeUnreachable,
			"no process has been paired as gateway %q (%s) yet", d.Name, d.ID).
			WithHint("Pair it with a token: palette_gateway has the commands in its install attribute.")}
	}
	since := "it has not been connected yet"
	if at := lastSeen(d.Status); at != nil {
		since = "it was last seen at " + at.UTC().Format(time.RFC3339)
	}
	return &offlineError{hubapi.NewProblem(hubapi.CodeUnreachable,
		"gateway %q (%s) is not connected to the hub: %s", d.Name, d.ID, since).
		WithHint("Nothing was changed. See that the gateway's process runs and can reach the hub, then try again.")}
}

func withoutHolder(d *gatewayDoc) error {
	return &offlineError{hubapi.NewProblem(hubapi.CodeUnreachable,
		"no replica of gateway %q (%s) has the lease yet", d.Name, d.ID).
		WithHint("Nothing was changed. When the replica that had it is lost another one gets it soon: try again.")}
}

func lastSeen(s roster.GatewayStatus) *time.Time {
	var last *time.Time
	for _, r := range s.Replicas {
		if r.LastSeen != nil && (last == nil || r.LastSeen.After(*last)) {
			last = r.LastSeen
		}
	}
	return last
}
