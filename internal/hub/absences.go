package hub

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// absenceGrace is how long a gateway may be away before those who wait for its work are told.
const absenceGrace = 5 * time.Second

// absences are the gateways that have worked for this hub and do not at the moment.
type absences struct {
	last map[string]Link      // what each gateway's link was, while it is there and after
	gone map[string]time.Time // since when those are away that are
	told map[string]bool      // those of whose absence people know
}

func newAbsences() *absences {
	return &absences{last: map[string]Link{}, gone: map[string]time.Time{}, told: map[string]bool{}}
}

// update takes note of the links that there are now. It returns those that are back of whose absence people know.
func (a *absences) update(links []Link, now time.Time) (back map[string]Link) {
	here := map[string]bool{}
	back = map[string]Link{}
	for _, link := range links {
		here[link.Gateway] = true
		a.last[link.Gateway] = link
		if a.told[link.Gateway] {
			back[link.Gateway] = link
		}
		delete(a.gone, link.Gateway)
		delete(a.told, link.Gateway)
	}
	for gateway := range a.last {
		if _, known := a.gone[gateway]; !here[gateway] && !known && !a.told[gateway] {
			a.gone[gateway] = now
		}
	}
	return back
}

// due returns those that have been away for so long that people are to be told, once, and when to ask again; 0 is not
// before something changes. A gateway that is connected works for another instance, or is about to get another holder of
// its lease.
func (a *absences) due(now time.Time, connected func(gateway string) bool) (due map[string]Link, next time.Duration) {
	due = map[string]Link{}
	for gateway, since := range a.gone {
		left := absenceGrace - now.Sub(since)
		if left <= 0 && connected(gateway) {
			delete(a.gone, gateway)
			delete(a.last, gateway)
			continue
		}
		if left <= 0 {
			due[gateway] = a.last[gateway]
			a.told[gateway] = true
			delete(a.gone, gateway)
			continue
		}
		if next == 0 || left < next {
			next = left
		}
	}
	return due, next
}

const (
	textAway = "gateway %q is not connected to the hub; its work on the cluster goes on as far as it can without, and the hub waits for it"
	textBack = "gateway %q is connected again"
)

// tellLimit bounds how long it may take to tell people of an absence.
const tellLimit = 10 * time.Second

// tellWaiting tells those who wait for clusters of the gateways what has become of these.
func (h *Hub) tellWaiting(ctx context.Context, links map[string]Link, text string) {
	if len(links) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	if err := h.tryTellWaiting(ctx, links, text); err != nil && ctx.Err() == nil {
		h.log.WarnContext(ctx, "those who wait for a gateway not told about it", "error", err)
	}
}

func (h *Hub) tryTellWaiting(ctx context.Context, links map[string]Link, text string) error {
	found, err := h.unfinishedOf(ctx, links)
	if err != nil {
		return err
	}
	var batch store.Batch
	for _, one := range found {
		d := one.cluster
		watched, err := h.feed.watchedNow(ctx, d.ID)
		if err != nil {
			return err
		}
		if !watched {
			continue
		}
		gateway, err := h.loadGateway(ctx, d.Project, one.link.Gateway)
		if err != nil {
			return err
		}
		batch.Events = append(batch.Events, store.ClusterEvent{ClusterID: d.ID, Project: d.Project, Event: hubapi.Event{
			Time: h.now().UTC(), Phase: d.Status.Phase, Generation: d.Generation, ObservedGeneration: d.ObservedGeneration,
			Message: fmt.Sprintf(text, gateway.Name),
		}})
		batch.Wakes = append(batch.Wakes, clusterTopic+d.ID)
	}
	if len(batch.Events) == 0 {
		return nil
	}
	slices.Sort(batch.Wakes)
	return h.store.Commit(ctx, batch)
}
