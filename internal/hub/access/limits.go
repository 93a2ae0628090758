package access

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits are token buckets by key. A bucket that is full again is as good as none and is forgotten, so that what is kept
// depends on who asks now, not on who ever asked.
type limits struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	swept   time.Time
}

const (
	// maxBuckets bounds the keys that are told apart; those beyond share one bucket.
	maxBuckets = 20_000
	// overflow is the key of that bucket, which is nobody's own.
	overflow = "\x00"
)

func newLimits(perSecond float64, burst int, now func() time.Time) *limits {
	return &limits{rate: rate.Limit(perSecond), burst: burst, now: now, buckets: map[string]*rate.Limiter{}}
}

// take takes one from the key's bucket. When that is empty it returns how long it takes until there is one.
func (l *limits) take(key string) (wait time.Duration, ok bool) {
	now := l.now()
	reservation := l.bucket(key, now).ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// empty tells whether the key's bucket has none left, and how long it takes until there is one. Nothing is taken.
func (l *limits) empty(key string) (wait time.Duration, yes bool) {
	now := l.now()
	l.mu.Lock()
	bucket, ok := l.buckets[key]
	if !ok && len(l.buckets) >= maxBuckets {
		bucket, ok = l.buckets[overflow]
	}
	l.mu.Unlock()
	if !ok {
		return 0, false
	}
	missing := 1 - bucket.TokensAt(now)
	if missing <= 0 {
		return 0, false
	}
	return time.Duration(missing / float64(l.rate) * float64(time.Second)), true
}

func (l *limits) bucket(key string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bucket, ok := l.buckets[key]; ok {
		return bucket
	}
	l.sweep(now)
	if len(l.buckets) >= maxBuckets {
		key = overflow
		if bucket, ok := l.buckets[key]; ok {
			return bucket
		}
	}
	bucket := rate.NewLimiter(l.rate, l.burst)
	l.buckets[key] = bucket
	return bucket
}

// sweepEvery is how often full buckets are looked for.
const sweepEvery = time.Second

// sweep forgets the buckets that are full.
func (l *limits) sweep(now time.Time) {
	if now.Sub(l.swept) < sweepEvery {
		return
	}
	l.swept = now
	for key, bucket := range l.buckets {
		if bucket.TokensAt(now) >= float64(l.burst) {
			delete(l.buckets, key)
		}
	}
}

// network is what is held responsible for an address: the address itself, or the /64 of an IPv6 one, of which every host
// has as many addresses as it likes.
func network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return prefix.String()
}
