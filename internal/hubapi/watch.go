package hubapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrStop is what a watcher returns when it has seen what it waited for.
var ErrStop = errors.New("stop watching")

const (
	watchFirst = 100 * time.Millisecond
	watchMost  = 5 * time.Second
	// watchSilence is how long a stream may be silent before it counts as dead; a hub sends a blank line more often.
	watchSilence = 45 * time.Second
	maxEvent     = 4 << 20
)

// WatchCluster calls fn for each event of a cluster after the given one, in order. A lost connection is made again and
// goes on where it was; when the hub does not answer for longer, an event that it did not send says so. It ends with nil
// when fn returns ErrStop, else with fn's error, the end of ctx, or the hub's refusal.
func (c *Client) WatchCluster(ctx context.Context, id string, after int64, fn func(Event) error) error {
	if err := checkID(id); err != nil {
		return err
	}
	w := &watch{client: c, path: pathClusters + "/" + id + "/events", after: after, fn: fn, pause: watchFirst}
	for {
		err := w.once(ctx)
		if told, ok := errors.AsType[*toldError](err); ok {
			if errors.Is(told.cause, ErrStop) {
				return nil
			}
			return told.cause
		}
		if ctx.Err() != nil {
			return fmt.Errorf("waiting for the cluster: %w", ctx.Err())
		}
		if p, ok := errors.AsType[*Problem](err); ok && !passes(p.Status) {
			return err
		}
		timer := time.NewTimer(rand.N(w.pause) + time.Millisecond) //nolint:gosec // Jitter needs no secrecy.
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the cluster: %w", ctx.Err())
		case <-timer.C:
		}
		w.pause = min(2*w.pause, watchMost)
	}
}

// watch is a watcher and how far it has come.
type watch struct {
	client *Client
	path   string
	fn     func(Event) error

	after int64
	pause time.Duration
	last  Event
	lost  bool // the watcher was told that the hub does not answer
}

// toldError carries what the caller's function returned, so that it is never taken for the stream's own trouble.
type toldError struct{ cause error }

// Error implements error.
func (e *toldError) Error() string { return e.cause.Error() }

// once reads one stream. Its end is a lost connection: a hub ends it only to have the client come back.
func (w *watch) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := w.client.send(ctx, call{
		method: http.MethodGet, path: w.path, query: url.Values{"after": {strconv.FormatInt(w.after, 10)}},
	})
	if err != nil {
		return w.notAnswered(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := w.answered(); err != nil {
		return err
	}
	silence := time.AfterFunc(watchSilence, cancel)
	defer silence.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	for lines.Scan() {
		// The caller may take its time over an event; only the hub's silence counts.
		silence.Stop()
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			var event Event
			if err := json.Unmarshal(line, &event); err != nil {
				return Unreachable(fmt.Errorf("reading an event: %w", err))
			}
			if err := w.take(event); err != nil {
				return err
			}
		}
		silence.Reset(watchSilence)
	}
	return Unreachable(errors.Join(errors.New("the hub's event stream ended"), lines.Err()))
}

// take passes an event on unless that was done before.
func (w *watch) take(event Event) error {
	if event.Seq != 0 && event.Seq <= w.after {
		return nil
	}
	w.after = max(w.after, event.Seq)
	w.pause, w.last = watchFirst, event
	return w.tell(event)
}

func (w *watch) tell(event Event) error {
	if err := w.fn(event); err != nil {
		return &toldError{cause: err}
	}
	return nil
}

// notAnswered tells the watcher, once, that the hub does not answer although it was asked again and again.
func (w *watch) notAnswered(ctx context.Context, err error) error {
	if p, ok := errors.AsType[*Problem](err); w.lost || ctx.Err() != nil || ok && !passes(p.Status) {
		return err
	}
	w.lost = true
	if told := w.aside("the hub cannot be reached, waiting for it: " + err.Error()); told != nil {
		return told
	}
	return err
}

// answered tells the watcher that the hub is back, if it was told that it was not.
func (w *watch) answered() error {
	if !w.lost {
		return nil
	}
	w.lost = false
	return w.aside("the hub answers again")
}

// aside tells the watcher what the hub cannot: nothing about the cluster has changed.
func (w *watch) aside(message string) error {
	event := w.last
	event.Seq, event.Time, event.Machine, event.Message = 0, time.Now().UTC(), "", message
	return w.tell(event)
}
