package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// heartbeat is how often an idle event stream proves to be alive.
	heartbeat = 15 * time.Second
	// watchPatience is how long a watcher may take to read what is written to it; longer than between two heartbeats.
	watchPatience = 3 * heartbeat
	// eventPage is how many events are read at once.
	eventPage = 200
)

// watchCluster streams a cluster's events, one JSON document a line; a blank line is a heartbeat. The stream ends after
// the event that says the cluster is gone, or when the hub goes down.
//
// Who watches waits for the gateway to finish. So if this hub has not given the newest generation to the gateway,
// because it took over from one that has gone, it does now.
func (h *Hub) watchCluster(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id, after, err := h.watchStart(r, project)
	if err != nil {
		return answer{}, err
	}
	leave := h.feed.join(id)
	defer leave()
	err = h.resume(r.Context(), project, id)
	if _, offline := errors.AsType[*offlineError](err); err != nil && !offline {
		return answer{}, err
	}
	w.Header().Set("Content-Type", hubapi.ContentEvents)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if err := h.streamEvents(r.Context(), w, project, id, after); err != nil {
		h.log.InfoContext(r.Context(), "event stream ended", "cluster_id", id, "error", err)
	}
	return answer{written: true}, nil
}

// watchStart checks what is asked. A cluster that is gone can be watched as long as it has events that the watcher has
// not seen.
func (h *Hub) watchStart(r *http.Request, project string) (id string, after int64, err error) {
	id = r.PathValue("id")
	if after, err = number(r, "after", 0); err != nil {
		return "", 0, err
	}
	_, err = h.loadCluster(r.Context(), project, id)
	if !errors.Is(err, hubapi.ErrNotFound) {
		return id, after, err
	}
	left, eventsErr := h.store.Events(r.Context(), project, id, after, 1)
	if eventsErr != nil {
		return "", 0, eventsErr
	}
	if len(left) > 0 {
		err = nil
	}
	return id, after, err
}

// resume gives an unfinished cluster to its gateway unless that was done since both are up.
func (h *Hub) resume(ctx context.Context, project, id string) error {
	d, err := h.loadCluster(ctx, project, id)
	if errors.Is(err, hubapi.ErrNotFound) {
		return nil
	}
	if err != nil || !unfinished(d) || h.given.has(id, d.Generation) {
		return err
	}
	unlock, err := h.store.Lock(ctx, "cluster/"+project+"/"+d.Name)
	if err != nil {
		return err
	}
	defer unlock()
	d, err = h.loadCluster(ctx, project, id)
	if errors.Is(err, hubapi.ErrNotFound) {
		return nil
	}
	if err != nil || !unfinished(d) || h.given.has(id, d.Generation) {
		return err
	}
	return h.assign(ctx, d)
}

func (h *Hub) streamEvents(ctx context.Context, w http.ResponseWriter, project, id string, after int64) error {
	control := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	absence := h.watchAbsence(ctx, project, id)
	defer absence.stop()
	for {
		// Who does not read is cut off; a transport without deadlines has other means.
		_ = control.SetWriteDeadline(time.Now().Add(watchPatience))
		// Asked for before the events are read: what comes in between is then not missed.
		changed, _ := h.feed.changes(id)
		events, err := h.store.Events(ctx, project, id, after, eventPage)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := encoder.Encode(e); err != nil {
				return fmt.Errorf("writing an event: %w", err)
			}
			after = e.Seq
			if e.Gone {
				return control.Flush() //nolint:wrapcheck // Says what it is.
			}
		}
		if err := control.Flush(); err != nil {
			return fmt.Errorf("flushing events: %w", err)
		}
		if len(events) == eventPage {
			continue
		}
		tell := false
		select {
		case <-changed:
		case <-absence.changed:
			tell = absence.look()
		case <-absence.timer.C:
			tell = true
		case <-beat.C:
			if _, err := w.Write([]byte("\n")); err != nil {
				return fmt.Errorf("writing a heartbeat: %w", err)
			}
		case <-h.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if tell {
			if err := absence.tell(ctx, encoder); err != nil {
				return err
			}
		}
	}
}
