package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

const (
	// aloneLimit is how long there may be no session before everything about the connection is made anew.
	aloneLimit = 5 * time.Minute
	// rejoinPause is the least time between two attempts to get a certificate by the identity key.
	rejoinPause = time.Minute
)

// connect dials one route. A certificate that has expired, or that the hub does not believe any more, is replaced first.
func (a *agent) connect(ctx context.Context, s *session, url string, limit time.Duration) error {
	inner := hubTLS(a.dir.identity)
	if cert, err := a.dir.identity().certificate(); err != nil || !a.now().Before(cert.Leaf.NotAfter) {
		if err := a.rejoin(ctx, url); err != nil {
			return err
		}
	}
	dial := func() (err error) {
		dialing, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		s.conn, err = a.dial.dial(dialing, url, tunnel.ClassControl, inner, s.header)
		return err
	}
	err := dial()
	if errors.Is(err, tunnel.ErrIdentityRefused) {
		if rejoinErr := a.rejoin(ctx, url); rejoinErr != nil {
			return errors.Join(err, rejoinErr)
		}
		err = dial()
	}
	return err
}

// errTooSoon is returned when a certificate has just been asked for in vain.
var errTooSoon = errors.New("a certificate was asked for a moment ago")

// rejoin gets a certificate by the identity key, one caller at a time.
func (a *agent) rejoin(ctx context.Context, url string) error {
	a.mu.Lock()
	soon, last := a.now().Sub(a.rejoined) < rejoinPause, a.refused
	if !soon {
		a.rejoined, a.refused = a.now(), nil
	}
	a.mu.Unlock()
	switch {
	case soon && last != nil:
		return fmt.Errorf("%w: %w", errTooSoon, last)
	case soon:
		return fmt.Errorf("the certificate has expired or is not believed: %w", errTooSoon)
	}
	a.log.InfoContext(ctx, "asking for a certificate by the identity key", "url", url)
	id := a.dir.identity
	err := rejoin(ctx, a.dir, way{url: url, dial: a.dial, inner: hubTLS(id)}, a.cfg.Version)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = err
	return err
}

// errAlone tells that there has been no session for long.
var errAlone = errors.New("there has been no session with the hub for long")

// watch returns when there has been no session for long.
func (h *hubs) watch(ctx context.Context) error {
	ticker := time.NewTicker(aloneLimit / 10)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if sessions, since := h.connected(); sessions == 0 && time.Since(since) > aloneLimit {
			return errAlone
		}
	}
}
