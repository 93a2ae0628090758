package store

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is how often a store looks for what others have written without a word.
const pollInterval = time.Second

// Lock implements Peers.
func (s *SQLite) Lock(ctx context.Context, name string) (unlock func(), err error) {
	return s.locks.lock(ctx, name)
}

// Wake implements Peers.
func (s *SQLite) Wake(_ context.Context, topic string) { s.wakes.publish(topic) }

// Wakes implements Peers. With the first reader the store begins to look for what other processes write.
func (s *SQLite) Wakes(ctx context.Context) (<-chan string, error) {
	select {
	case <-s.closed:
		return nil, ErrClosed
	default:
	}
	version, err := s.dataVersion(ctx)
	if err != nil {
		return nil, err
	}
	topics := s.wakes.subscribe(ctx, s.closed)
	s.polling.Do(func() { s.owned.Go(func() { s.poll(version) }) })
	return topics, nil
}

// poll wakes everybody when another process has written. Its connection is the one that writes, so that the store's own
// writes do not count.
func (s *SQLite) poll(known int64) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.closed:
			return
		}
		version, err := s.dataVersion(context.Background()) // no request's; it waits for the writer at most
		if err == nil && version != known {
			s.wakes.publish(wakeAll)
			known = version
		}
	}
}

// dataVersion changes whenever another connection has written.
func (s *SQLite) dataVersion(ctx context.Context) (int64, error) {
	var version int64
	if err := s.writes.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
		return 0, fmt.Errorf("asking whether others have written: %w", err)
	}
	return version, nil
}

// Attend implements Peers.
func (s *SQLite) Attend(_ context.Context, instance string, topics []string, ttl time.Duration) error {
	s.presence.attend(instance, topics, ttl)
	return nil
}

// Attended implements Peers.
func (s *SQLite) Attended(_ context.Context, topic, except string) (bool, error) {
	return s.presence.attended(topic, except), nil
}
