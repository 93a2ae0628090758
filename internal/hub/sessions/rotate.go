package sessions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

const (
	// agreeEvery is how often a replica is asked whether it has a new key.
	agreeEvery = 15 * time.Second
	// agreeLimit bounds one such conversation.
	agreeLimit = 10 * time.Second
	// agreeAtOnce is how many rotations are told in one word.
	agreeAtOnce = 16
	// maxSealedKey bounds a key that is sealed to another one, in bytes.
	maxSealedKey = 4 << 10
)

// agreeUntilDone asks a replica for new keys of its gateway until its tunnel ends. Only the hub asks, so that a replica cannot
// tell of one by itself.
func (s *Sessions) agreeUntilDone(ctx context.Context, l *live) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.tunnel.Done():
			return
		}
		if err := s.askKeys(ctx, l); err != nil && ctx.Err() == nil {
			s.log.InfoContext(ctx, "gateway not asked for its key", "gateway_id", l.id.Gateway, "replica_id", l.id.Replica, "error", err)
		}
		timer.Reset(agreeEvery)
	}
}

// askKeys reads no record when the replica has nothing new.
func (s *Sessions) askKeys(ctx context.Context, l *live) error {
	ctx, cancel := context.WithTimeout(ctx, agreeLimit)
	defer cancel()
	answer, err := l.client.Keys(ctx, gatewayapi.KeysWord{Key: l.key})
	if err != nil {
		return err
	}
	if bytes.Equal(answer.Key, l.key) && len(answer.Rotations) == 0 {
		return nil
	}
	key, err := s.agree(ctx, l, answer.Key)
	if err == nil {
		l.key = key
	}
	return err
}

// agree brings a replica and the record of its gateway to the same key: the replica learns of what it has missed, and what
// it has rotated is kept and relayed to the others. It returns the replica's key.
func (s *Sessions) agree(ctx context.Context, l *live, key []byte) ([]byte, error) {
	gateway, err := roster.LoadGateway(ctx, s.store, l.id.Gateway)
	if err != nil {
		return nil, err
	}
	answer, err := tellRotations(ctx, l, gateway, key)
	if err != nil {
		return nil, err
	}
	before := gateway.Status.PublicKey
	for _, r := range answer.Rotations {
		if gateway, err = s.rotate(ctx, l, gateway, r); err != nil {
			return nil, err
		}
	}
	if !bytes.Equal(gateway.Status.PublicKey, before) {
		answer, err = tellRotations(ctx, l, gateway, answer.Key)
	}
	return answer.Key, err
}

// tellRotations tells a replica of all rotations since the key.
func tellRotations(ctx context.Context, l *live, g *roster.Gateway, key []byte) (gatewayapi.KeysAnswer, error) {
	missed := g.Status.RotationsAfter(key)
	for {
		n := min(agreeAtOnce, len(missed))
		answer, err := l.client.Keys(ctx, gatewayapi.KeysWord{Key: g.Status.PublicKey, Done: missed[:n]})
		if missed = missed[n:]; err != nil || len(missed) == 0 {
			return answer, err
		}
	}
}

// rotate makes a replica's new key that of its gateway. All replicas that are connected open what is sealed to it before
// anybody can learn of it; those that are not find it in the record, however long the one that made it lives.
func (s *Sessions) rotate(ctx context.Context, by *live, g *roster.Gateway, r gatewayapi.Rotation) (*roster.Gateway, error) {
	if !bytes.Equal(r.From, g.Status.PublicKey) {
		return g, nil // It led elsewhere, or has been done.
	}
	if err := checkRotation(g, r); err != nil {
		return nil, err
	}
	members, _ := s.registry.members(g.ID)
	for _, m := range members {
		if m.id.Replica == by.id.Replica {
			continue
		}
		_, err := m.client.Keys(ctx, gatewayapi.KeysWord{Key: r.From, Next: &r})
		if err != nil && !hubapi.LostConnection(err) {
			return nil, fmt.Errorf("replica %s does not take the new key of replica %s: %w", m.id.Replica, by.id.Replica, err)
		}
	}
	took := false
	g, err := roster.ChangeGateway(ctx, s.store, g.ID, func(g *roster.Gateway) error {
		if took = g.Status.Rotated(r); !took {
			return roster.ErrUnchanged
		}
		return nil
	}, roster.Topic(g.ID))
	if err != nil || !took {
		return g, err
	}
	s.log.InfoContext(ctx, "gateway key rotated", "gateway_id", g.ID, "replica_id", by.id.Replica, "project", g.Project,
		"from", seal.Fingerprint(r.From), "to", seal.Fingerprint(r.To))
	s.recordRotation(ctx, by, g)
	done := gatewayapi.KeysWord{Key: r.To, Done: []gatewayapi.Rotation{r}}
	for _, m := range members {
		if m.id.Replica == by.id.Replica {
			continue
		}
		if _, err := m.client.Keys(ctx, done); err != nil {
			s.log.InfoContext(ctx, "replica not told of the new key", "gateway_id", g.ID, "replica_id", m.id.Replica, "error", err)
		}
	}
	return g, nil
}

// recordRotation keeps in the audit log that a gateway has a new key.
func (s *Sessions) recordRotation(ctx context.Context, by *live, g *roster.Gateway) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
	defer cancel()
	err := s.store.AppendAudit(ctx, store.AuditEntry{
		Time: s.now(), Method: "ROTATE", Route: gatewayapi.PathKeys, Kind: store.KindGateway, Outcome: http.StatusOK,
		Actor: "replica:" + by.id.Replica, Project: g.Project, Object: g.ID, Name: g.Name,
	})
	if err != nil {
		s.log.ErrorContext(ctx, "audit entry not written", "error", err, "object", g.ID, "replica_id", by.id.Replica)
	}
}

// checkRotation refuses what cannot be one, and what would leave the organisation without a way back to the new key.
func checkRotation(g *roster.Gateway, r gatewayapi.Rotation) error {
	if _, err := seal.Seal(r.To, seal.Binding{}, nil); err != nil || len(r.Sealed) > maxSealedKey || len(r.Escrow) > maxEscrow {
		return hubapi.NewProblem(hubapi.CodeInvalid, "the new key is not a sealing key")
	}
	if v := r.Voucher; v != nil && (len(v.MAC) != sha256.Size || uuid.Validate(v.Pairing) != nil || v.Serial <= 0) {
		return hubapi.NewProblem(hubapi.CodeInvalid, "the voucher for the new key is not one")
	}
	if len(g.Status.Escrow) > 0 && (len(r.Escrow) == 0 || r.RecoveryKey != g.Status.EscrowFor) {
		return hubapi.NewProblem(hubapi.CodeInvalid, "the new key is not kept for the organisation's recovery key").
			WithHint("Rotate on a replica that was paired since the recovery key was set.")
	}
	return nil
}
