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
// goes on where it was. It ends with nil when fn returns ErrStop, else with fn's error, the end of ctx, or the hub's
// refusal.
func (c *Client) WatchCluster(ctx context.Context, id string, after int64, fn func(Event) error) error {
	if err := checkID(id); err != nil {
		return err
	}
	pause := watchFirst
	for {
		err := c.watchOnce(ctx, id, &after, func(e Event) error {
			pause = watchFirst
			return fn(e)
		})
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
		timer := time.NewTimer(rand.N(pause) + time.Millisecond) //nolint:gosec // Jitter needs no secrecy.
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the cluster: %w", ctx.Err())
		case <-timer.C:
		}
		pause = min(2*pause, watchMost)
	}
}

// toldError carries what the caller's function returned, so that it is never taken for the stream's own trouble.
type toldError struct{ cause error }

// Error implements error.
func (e *toldError) Error() string { return e.cause.Error() }

// watchOnce reads one stream. Its end is a lost connection: a hub ends it only to have the client come back.
func (c *Client) watchOnce(ctx context.Context, id string, after *int64, fn func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := c.send(ctx, call{
		method: http.MethodGet, path: pathClusters + "/" + id + "/events",
		query: url.Values{"after": {strconv.FormatInt(*after, 10)}},
	})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
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
			if event.Seq > *after {
				*after = event.Seq
				if err := fn(event); err != nil {
					return &toldError{cause: err}
				}
			}
		}
		silence.Reset(watchSilence)
	}
	return Unreachable(errors.Join(errors.New("the hub's event stream ended"), lines.Err()))
}
