package agent

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = 200 * time.Millisecond
	// backoffSoon is the longest pause while the trouble is young: who has just lost a hub is back soon after it is.
	backoffSoon = 1500 * time.Millisecond
	backoffMost = 30 * time.Second
	// backoffYoung is how long trouble counts as young.
	backoffYoung = 2 * time.Minute
	// backoffHeld is how long a session must hold for the pauses to begin anew.
	backoffHeld = time.Minute
	// backoffAsked bounds what a hub can ask a gateway to wait.
	backoffAsked = 5 * time.Minute
)

// backoff decides how long to wait before the next dial: exponential, with full jitter.
type backoff struct {
	// began is when the trouble did.
	began    time.Time
	attempts int
	// draw picks a pause below a ceiling; tests choose.
	draw func(ceiling time.Duration) time.Duration
}

func newBackoff(now time.Time) *backoff {
	return &backoff{began: now, draw: func(ceiling time.Duration) time.Duration {
		return rand.N(ceiling) + time.Millisecond //nolint:gosec // Jitter needs no secrecy.
	}}
}

// next is the pause before the next dial. What the hub asked for is added to, so that those it asked do not come at once.
func (b *backoff) next(now time.Time, asked time.Duration) time.Duration {
	most := backoffMost
	if now.Sub(b.began) < backoffYoung {
		most = backoffSoon
	}
	ceiling := min(backoffFirst<<min(b.attempts, 16), most)
	b.attempts++
	if asked > 0 {
		return min(asked, backoffAsked) + b.draw(max(ceiling, time.Second))
	}
	return b.draw(ceiling)
}

// lost notes that a session which was good for a time has ended.
func (b *backoff) lost(now time.Time, held time.Duration) {
	b.began = now
	if held >= backoffHeld {
		b.attempts = 0
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
