package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// absencePatience is how long a gateway may be away before those who wait for it are told: one that was restarted, or had
// its connection cut, is back by then.
const absencePatience = 5 * time.Second

// absence knows whether the gateway of a watched cluster is away. Of that the gateway itself can report nothing.
type absence struct {
	hub              *Hub
	project, cluster string
	gateway          string
	changed          <-chan struct{} // nil where the gateway cannot go away
	timer            *time.Timer
	away, told       bool
}

// watchAbsence begins to look at the gateway of a cluster. The caller ends it with stop.
func (h *Hub) watchAbsence(ctx context.Context, project, id string) *absence {
	a := &absence{hub: h, project: project, cluster: id, timer: time.NewTimer(absencePatience)}
	a.timer.Stop()
	d, err := h.loadCluster(ctx, project, id)
	if err != nil {
		return a // nobody works on what is gone
	}
	account, err := h.loadAccount(ctx, project, d.Spec.CloudAccountID)
	if err == nil && account.Spec.GatewayID != h.gateways.SystemID() {
		a.gateway = account.Spec.GatewayID
		a.look()
	}
	return a
}

func (a *absence) stop() { a.timer.Stop() }

// look sees whether the gateway is there, and tells whether its watchers have to hear that it is back.
func (a *absence) look() (back bool) {
	presence, changed := a.hub.gateways.Presence(a.gateway)
	a.changed = changed
	away := len(presence.Replicas) == 0 && !presence.Elsewhere
	if away == a.away {
		return false
	}
	a.away = away
	if away {
		a.timer.Reset(absencePatience)
		return false
	}
	a.timer.Stop()
	back, a.told = a.told, false
	return back
}

// tell writes to the watcher that the gateway is away, or is back.
func (a *absence) tell(ctx context.Context, encoder *json.Encoder) error {
	e, err := a.event(ctx)
	if err != nil || e == nil {
		return err
	}
	if err := encoder.Encode(e); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	return nil
}

// event is what a watcher is told: true at the moment, and kept nowhere. It is nil for a cluster that waits for nobody.
func (a *absence) event(ctx context.Context) (*hubapi.Event, error) {
	d, err := a.hub.loadCluster(ctx, a.project, a.cluster)
	if errors.Is(err, hubapi.ErrNotFound) || err == nil && !unfinished(d) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	gateway, err := a.hub.loadGateway(ctx, a.project, a.gateway)
	if err != nil {
		return nil, err
	}
	e := &hubapi.Event{
		Time: a.hub.now().UTC(), Phase: d.Status.Phase, Generation: d.Generation, ObservedGeneration: d.ObservedGeneration,
		Message: fmt.Sprintf("gateway %q is connected again", gateway.Name),
	}
	if p, ok := errors.AsType[*hubapi.Problem](notConnected(gateway)); ok && a.away {
		a.told = true
		e.Message = p.Detail + "; the work goes on when it is back"
	}
	return e, nil
}
