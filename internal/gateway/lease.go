package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// leaseMargin is how much earlier than the hub a replica takes its lease for over: the time the lease took to arrive,
	// and clocks that do not run alike.
	leaseMargin = time.Second
	// leaseMost bounds what a hub can grant, so that one that lies does not take a gateway away for ever.
	leaseMost = 15 * time.Minute
)

// lease says whether this replica works on the gateway's clusters, and under which epoch. It counts by the process's own
// monotonic clock. A term is the time of one epoch; within it the lease may lapse, when the hub is away, and come back:
// nobody else has had it meanwhile. A gateway without replicas has it always, under epoch 0.
type lease struct {
	mu      sync.Mutex
	leased  bool
	closed  bool // no lease is taken any more
	epoch   int64
	term    *term
	changed chan struct{} // closed and made anew whenever the lease comes or goes
}

// term is one time of holding the lease. Its context ends with it for good.
type term struct {
	epoch int64
	ctx   context.Context //nolint:containedctx // The life of what works under the term.
	end   context.CancelFunc
	// until is when the lease lapses unless it is renewed.
	until time.Time
	timer *time.Timer
	// valid ends when the lease lapses.
	valid  context.Context //nolint:containedctx // The life of what works while the lease is good.
	lapsed context.CancelFunc
}

func newLease(ctx context.Context, leased bool) *lease {
	l := &lease{leased: leased, changed: make(chan struct{})}
	if !leased {
		l.term = &term{ctx: ctx, valid: ctx, end: func() {}, lapsed: func() {}}
	}
	return l
}

// take works one word of the hub's in. It tells whether a new term has begun, and whether there is one.
func (l *lease) take(ctx context.Context, w gatewayapi.Lease, now time.Time) (begun, has bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.leased:
		return false, false, hubapi.NewProblem(hubapi.CodeInvalid, "this gateway has no replicas and no lease")
	case l.closed && w.Holder:
		return false, false, errNotHolder
	case w.Epoch <= 0 || w.TTLMillis < 0:
		return false, false, hubapi.NewProblem(hubapi.CodeInvalid, "a lease has an epoch above zero")
	case w.Epoch < l.epoch:
		return false, false, hubapi.NewProblem(hubapi.CodeConflict,
			"the lease of epoch %d is over, the gateway knows of epoch %d", w.Epoch, l.epoch)
	}
	if l.term != nil && (w.Epoch > l.epoch || !w.Holder) {
		l.over()
	}
	begun = w.Epoch > l.epoch
	l.epoch = w.Epoch
	// An epoch that has been given up is not taken up again: somebody else may have worked since.
	if !w.Holder || !begun && l.term == nil {
		return false, false, nil
	}
	if begun {
		t := &term{epoch: w.Epoch}
		t.ctx, t.end = context.WithCancel(ctx)
		l.term = t
	}
	l.renew(min(time.Duration(w.TTLMillis)*time.Millisecond, leaseMost)-leaseMargin, now)
	return begun, true, nil
}

// renew makes the lease good for a time from now. The caller holds mu.
func (l *lease) renew(good time.Duration, now time.Time) {
	t := l.term
	t.until = now.Add(good)
	if t.valid == nil || t.valid.Err() != nil {
		t.valid, t.lapsed = context.WithCancel(t.ctx)
		l.signal()
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	t.timer = time.AfterFunc(good, func() { l.lapse(t) })
}

func (l *lease) lapse(t *term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.term == t && !time.Now().Before(t.until) {
		t.lapsed()
		l.signal()
	}
}

// over ends the term. The caller holds mu.
func (l *lease) over() {
	l.term.timer.Stop()
	l.term.lapsed()
	l.term.end()
	l.term = nil
	l.signal()
}

func (l *lease) signal() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// held is the term while the lease is good, else nil.
func (l *lease) held() *term {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heldLocked()
}

func (l *lease) heldLocked() *term {
	if l.term == nil || l.leased && !time.Now().Before(l.term.until) {
		return nil
	}
	return l.term
}

// await returns a context that is good as long as the lease is, once it is. It fails when the term is over.
func (l *lease) await(t *term) (context.Context, error) {
	for {
		l.mu.Lock()
		held, changed := l.heldLocked() == t, l.changed
		valid := t.valid
		l.mu.Unlock()
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		if held {
			return valid, nil
		}
		select {
		case <-t.ctx.Done():
			return nil, t.ctx.Err()
		case <-changed:
		}
	}
}

// check tells why nothing may be changed now under a term, if so. It looks at the clock: a process that was stopped may
// run again before its timers do.
func (l *lease) check(t *term) error {
	if l.held() != t {
		return errNotHolder
	}
	return nil
}

// current is the epoch this replica works under, or last heard of.
func (l *lease) current() (epoch int64, holder bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, l.heldLocked() != nil
}

// close ends whatever is under way, for good. It returns the epoch of the term that ended with it, 0 where there was none.
func (l *lease) close() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if !l.leased || l.term == nil {
		return 0
	}
	l.over()
	return l.epoch
}

// errNotHolder is the answer of a replica that does not have the lease to what only the holder does. It passes: whoever
// asks did not know yet which replica the holder is.
var errNotHolder = &hubapi.Problem{
	Status: http.StatusServiceUnavailable, Code: hubapi.CodeConflict, Title: "Another replica works",
	Detail: "this replica of the gateway does not have the lease: another one works on its clusters",
	Hint:   "Ask again in a moment.",
}

// takeLease works the hub's word on the lease in. A new term begins with nothing of the last one: what this replica knew
// of addresses, and what it had to report, others have gone on from.
func (g *Gateway) takeLease(_ context.Context, w gatewayapi.Lease) (none, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, was := g.lease.current()
	begun, has, err := g.lease.take(g.ctx, w, time.Now())
	if err != nil {
		return none{}, err
	}
	if begun {
		g.reports.begin(w.Epoch)
		g.pools.own(false) // whatever it knew is of an earlier term
	}
	g.pools.own(has)
	if was != has || begun {
		g.log.Info("lease", "holder", has, "epoch", w.Epoch)
	}
	return none{}, nil
}
