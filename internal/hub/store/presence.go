package store

import (
	"slices"
	"sync"
	"time"
)

// presence is who attends what, as a store keeps it that only one process uses.
type presence struct {
	mu  sync.Mutex
	who map[string]attendance
}

type attendance struct {
	topics []string
	until  time.Time
}

func newPresence() *presence { return &presence{who: map[string]attendance{}} }

func (p *presence) attend(who string, topics []string, ttl time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(topics) == 0 {
		delete(p.who, who)
		return
	}
	p.who[who] = attendance{slices.Clone(topics), time.Now().Add(ttl)}
}

func (p *presence) attended(topic, except string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for who, a := range p.who {
		if who != except && time.Now().Before(a.until) && slices.Contains(a.topics, topic) {
			return true
		}
	}
	return false
}
