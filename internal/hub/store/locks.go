package store

import (
	"context"
	"sync"
)

// locks are named locks in this process, so that two writers of one object go one after the other while others do not wait.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	free    chan struct{} // holds a token while nobody has the lock
	holders int           // those who have it or wait for it
}

func newLocks() *locks { return &locks{held: map[string]*lock{}} }

// lock waits for the named lock. The caller calls unlock when done, if there was no error.
func (l *locks) lock(ctx context.Context, name string) (unlock func(), err error) {
	l.mu.Lock()
	k, ok := l.held[name]
	if !ok {
		k = &lock{free: make(chan struct{}, 1)}
		k.free <- struct{}{}
		l.held[name] = k
	}
	k.holders++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if k.holders--; k.holders == 0 {
			delete(l.held, name)
		}
	}
	select {
	case <-k.free:
		return func() {
			k.free <- struct{}{}
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
