package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
)

// errClosed is returned to those who wait on a gateway that is going down.
var errClosed = errors.New("the gateway is shutting down")

// reportLog is what the gateway has to tell and the hub has not yet acknowledged, in order.
type reportLog struct {
	boot string
	now  func() time.Time

	mu    sync.Mutex
	seq   int64
	acked int64
	epoch int64
	// What was to be told after lostAfter and up to lostUpTo ended with an earlier epoch, unheard.
	lostAfter, lostUpTo int64

	pending []gatewayapi.Report
	closed  bool
	changed chan struct{} // closed and made anew at each change
}

func newReportLog(now func() time.Time) *reportLog {
	return &reportLog{boot: uuid.NewString(), now: now, changed: make(chan struct{})}
}

// life names this life of the log.
func (l *reportLog) life() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.boot
}

func (l *reportLog) unkept() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending)
}

func (l *reportLog) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// begin starts a new life under an epoch. Nobody wants to hear any more what was to be told under an earlier one.
func (l *reportLog) begin(epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boot, l.epoch = uuid.NewString(), epoch
	l.lostAfter, l.lostUpTo = l.acked, l.seq
	l.acked, l.pending = l.seq, nil
	l.signal()
}

// lost is the number of a report that was made under an earlier epoch and told to nobody.
const lost = -1

// publish appends a report and returns its number, to wait for with kept. A report without an epoch is of the current one.
func (l *reportLog) publish(r gatewayapi.Report) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Epoch == 0 {
		r.Epoch = l.epoch
	}
	if r.Epoch < l.epoch {
		return lost
	}
	l.seq++
	r.Seq, r.Boot, r.Time = l.seq, l.boot, l.now().UTC()
	l.pending = append(l.pending, r)
	l.signal()
	return l.seq
}

// kept waits until the hub has acknowledged everything up to seq.
func (l *reportLog) kept(ctx context.Context, seq int64) error {
	for {
		l.mu.Lock()
		acked, closed, changed := l.acked, l.closed, l.changed
		unheard := seq == lost || seq > l.lostAfter && seq <= l.lostUpTo
		l.mu.Unlock()
		if unheard {
			return errNotHolder
		}
		if acked >= seq {
			return nil
		}
		if closed {
			return errClosed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// ack drops what the hub has kept. An acknowledgement for another life of the gateway is ignored.
func (l *reportLog) ack(a gatewayapi.Ack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.Boot != l.boot || a.Seq <= l.acked || a.Seq > l.seq {
		return
	}
	l.pending = l.pending[a.Seq-l.acked:]
	l.acked = a.Seq
	l.signal()
}

// after returns what follows seq and a channel that is closed when there is more.
func (l *reportLog) after(seq int64) (reports []gatewayapi.Report, more <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from := seq - l.acked; from < int64(len(l.pending)) {
		reports = append(reports, l.pending[max(from, 0):]...)
	}
	return reports, l.changed, l.closed
}

func (l *reportLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		l.signal()
	}
}

// heartbeat is how often an idle event stream proves to be alive.
const heartbeat = 10 * time.Second

// serveEvents streams reports, one JSON document a line, from the asked cursor on; an empty line is a heartbeat.
func (g *Gateway) serveEvents(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := strconv.ParseInt(query.Get("after"), 10, 64)
	if err != nil || query.Get("boot") != g.reports.life() {
		after = 0
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	encoder := json.NewEncoder(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		reports, more, closed := g.reports.after(after)
		for _, report := range reports {
			if encoder.Encode(report) != nil {
				return
			}
			after = report.Seq
		}
		if control.Flush() != nil || closed {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			if _, err := w.Write([]byte("\n")); err != nil {
				return
			}
		case <-more:
		}
	}
}
