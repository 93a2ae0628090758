package sessions

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

const (
	// greetLimit bounds how long a gateway may take to say who it is.
	greetLimit = 10 * time.Second
	// tellLimit bounds how long a gateway may take to hear about the hub.
	tellLimit = 5 * time.Second
	// keepLimit bounds how long it may take to write that a gateway has come or gone.
	keepLimit = 5 * time.Second
)

// control keeps a replica's tunnel until it ends.
func (s *Sessions) control(ctx context.Context, session *tunnel.Session, address string) {
	defer func() { _ = session.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	l, err := s.greet(ctx, session)
	if err != nil {
		s.log.WarnContext(ctx, "gateway not taken", "remote_address", address, "error", err)
		return
	}
	log := s.log.With("gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "project", l.id.Project)
	older, unkept := s.registry.add(l)
	defer s.registry.remove(l)
	if older != nil {
		_ = older.tunnel.Close() // Its end is seen where it is kept.
	}
	if unkept {
		s.begin(func(ctx context.Context) { s.keep(ctx, l.id.Gateway) })
	}
	// Between the handshake and now the replica may have been shut out, by somebody who did not see it here.
	if err := s.allowed(ctx, l.id); err != nil {
		log.WarnContext(ctx, "gateway not taken", "remote_address", address, "error", err)
		return
	}
	log.InfoContext(ctx, "gateway connected", "remote_address", address, "version", l.version)
	s.tell(ctx, l)
	var parts sync.WaitGroup
	parts.Go(func() { s.agreeUntilDone(ctx, l) })
	s.renewUntilDone(ctx, l)
	parts.Wait()
	s.noteGone(context.WithoutCancel(ctx), l)
	log.InfoContext(ctx, "gateway gone", "error", session.Err())
}

// greet learns who is at the other end, and keeps that it came.
func (s *Sessions) greet(ctx context.Context, session *tunnel.Session) (*live, error) {
	ctx, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	// The handshake has looked at the records a moment ago; what has changed since is seen when they are written.
	id, err := authority.ReplicaOf(session.ConnectionState().PeerCertificates[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errShutOut, err)
	}
	client := gatewayapi.NewClient(session)
	info, err := client.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking replica %s of gateway %s who it is: %w", id.Replica, id.Gateway, err)
	}
	if info.ID != id.Gateway {
		return nil, fmt.Errorf("replica %s of gateway %s says it is gateway %.64q", id.Replica, id.Gateway, info.ID)
	}
	l := &live{id: id, tunnel: session, client: client, since: s.now().UTC(), version: clean(info.Version, maxVersion)}
	l.key = info.PublicKey
	if err = s.noteCome(ctx, l); errors.Is(err, errOtherKey) {
		if l.key, err = s.agree(ctx, l, info.PublicKey); err == nil {
			err = s.noteCome(ctx, l)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("replica %s of gateway %s: %w", id.Replica, id.Gateway, err)
	}
	return l, nil
}

// errOtherKey tells that a replica has another key than its gateway.
var errOtherKey = errors.New("it has another key than the gateway")

// noteCome keeps that a replica is there.
func (s *Sessions) noteCome(ctx context.Context, l *live) error {
	_, err := roster.ChangeGateway(ctx, s.store, l.id.Gateway, func(g *roster.Gateway) error {
		if err := lets(g, l.id); err != nil {
			return err
		}
		r := g.Status.Replica(l.id.Replica)
		g.Status.Paired(l.id.Replica, s.now())
		if !bytes.Equal(l.key, g.Status.PublicKey) {
			return errOtherKey
		}
		r.Version, r.LastSeen = l.version, &l.since
		return nil
	})
	return err
}

// noteGone keeps when a replica was seen last.
func (s *Sessions) noteGone(ctx context.Context, l *live) {
	ctx, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	_, err := roster.ChangeGateway(ctx, s.store, l.id.Gateway, func(g *roster.Gateway) error {
		r := g.Status.Replica(l.id.Replica)
		if r == nil {
			return roster.ErrUnchanged
		}
		r.LastSeen = new(s.now().UTC())
		return nil
	})
	if err != nil {
		s.log.InfoContext(ctx, "not kept when the replica was seen last",
			"gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "error", err)
	}
}

// tell lets a replica know about the hub.
func (s *Sessions) tell(ctx context.Context, l *live) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	if err := l.client.TellHub(ctx, s.instances.hubInfo(s.cfg.Version)); err != nil {
		s.log.InfoContext(ctx, "gateway not told about the hub",
			"gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "error", err)
	}
}

// maxTelling bounds how many gateways are told at once.
const maxTelling = 32

// tellAll lets every replica know about the hub.
func (s *Sessions) tellAll(ctx context.Context) {
	each(ctx, s.registry.all(), maxTelling, s.tell)
}

const (
	// renewJitter spreads renewals, so that gateways that came together are not renewed together.
	renewJitter = time.Hour
	// renewRetry is how long is waited after a renewal that did not work.
	renewRetry = 5 * time.Minute
)

// renewUntilDone gives a replica a new certificate at half the life of the one it has, until its tunnel ends.
func (s *Sessions) renewUntilDone(ctx context.Context, l *live) {
	until := l.tunnel.ConnectionState().PeerCertificates[0].NotAfter
	due := dueBefore(until)
	for {
		timer := time.NewTimer(due.Sub(s.now()))
		select {
		case <-timer.C:
		case <-l.tunnel.Done():
			timer.Stop()
			return
		}
		newer, err := s.renew(ctx, l, until)
		if err != nil {
			s.log.WarnContext(ctx, "certificate not renewed",
				"gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "error", err)
			due = s.now().Add(renewRetry + rand.N(renewRetry)) //nolint:gosec // Jitter needs no secrecy.
			continue
		}
		until, due = newer, dueBefore(newer)
	}
}

// dueBefore is when a certificate that ends then is renewed.
func dueBefore(until time.Time) time.Time {
	return until.Add(-authority.ReplicaLifetime/2 - rand.N(renewJitter)) //nolint:gosec // Jitter needs no secrecy.
}

// renew gives a replica a new certificate, unless it got one from another instance. It returns when the newest one ends.
func (s *Sessions) renew(ctx context.Context, l *live, until time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, greetLimit)
	defer cancel()
	gateway, err := roster.LoadGateway(ctx, s.store, l.id.Gateway)
	if err != nil {
		return time.Time{}, err
	}
	r := gateway.Status.Replica(l.id.Replica)
	if r == nil || r.RevokedAt != nil {
		return time.Time{}, errShutOut
	}
	if r.CertifiedUntil.After(until) {
		return r.CertifiedUntil, nil
	}
	renewal, err := l.client.Renew(ctx)
	if err != nil {
		return time.Time{}, err
	}
	grant, until, err := s.grant(gateway, l.id.Replica, renewal.CSR)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := l.client.Grant(ctx, grant); err != nil {
		return time.Time{}, err
	}
	s.log.InfoContext(ctx, "certificate renewed",
		"gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "until", until)
	return until, s.certified(ctx, l.id, until)
}

// certified keeps until when a replica has a certificate.
func (s *Sessions) certified(ctx context.Context, id authority.ReplicaID, until time.Time) error {
	_, err := roster.ChangeGateway(ctx, s.store, id.Gateway, func(g *roster.Gateway) error {
		r := g.Status.Replica(id.Replica)
		if r == nil || r.RevokedAt != nil {
			return errShutOut
		}
		if until.After(r.CertifiedUntil) {
			r.CertifiedUntil = until
		}
		r.LastSeen = new(s.now().UTC())
		return nil
	})
	return err
}

// grant makes the grant of a replica.
func (s *Sessions) grant(g *roster.Gateway, replica string, csr []byte) (gatewayapi.Grant, time.Time, error) {
	id := authority.ReplicaID{Project: g.Project, Gateway: g.ID, Replica: replica}
	der, until, err := s.authority.SignReplica(csr, id)
	if err != nil {
		return gatewayapi.Grant{}, until, err
	}
	return gatewayapi.Grant{
		Gateway: g.ID, Project: g.Project, GatewayName: g.Name, Replica: replica,
		Certificate: der, CA: s.authority.PEM(), RecoveryKey: g.Spec.RecoveryKey,
	}, until, nil
}
