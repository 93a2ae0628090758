package access

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	// recentFor is how long credentials that were good are remembered, maxRecent how many.
	recentFor = time.Hour
	maxRecent = 10_000
)

// recent remembers which credentials were good a short while ago. It lets nobody in; it only tells who need not suffer
// for what somebody else at the same address does.
type recent struct {
	now  func() time.Time
	mu   sync.Mutex
	seen map[[sha256.Size]byte]time.Time
}

func newRecent(now func() time.Time) *recent {
	return &recent{now: now, seen: map[[sha256.Size]byte]time.Time{}}
}

func (r *recent) add(credentials string) {
	key, now := sha256.Sum256([]byte(credentials)), r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen[key]; !ok && len(r.seen) >= maxRecent {
		for k, at := range r.seen {
			if now.Sub(at) > recentFor {
				delete(r.seen, k)
			}
		}
		if len(r.seen) >= maxRecent {
			return
		}
	}
	r.seen[key] = now
}

func (r *recent) has(credentials string) bool {
	key := sha256.Sum256([]byte(credentials))
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.seen[key]
	return ok && r.now().Sub(at) <= recentFor
}

func (r *recent) forget(credentials string) {
	key := sha256.Sum256([]byte(credentials))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, key)
}
