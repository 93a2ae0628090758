package sessions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

const (
	// maxReplicas bounds the replicas of one gateway that are not revoked.
	maxReplicas = 9
	// foundingLimit is how long the first replica of a gateway may take between being let in and having its identity on
	// disk, before another one may be the first.
	foundingLimit = 2 * time.Minute
	// othersLimit is how long a further replica waits for one that can share the gateway's key.
	othersLimit = 20 * time.Second
	// lookAgain is how often it is looked whether the first replica is done.
	lookAgain = 250 * time.Millisecond
	pairTries = 50
)

// place is what pairing has reserved for an applicant.
type place struct {
	gateway *roster.Gateway
	pairing *roster.Pairing
	replica *roster.Replica
	grant   gatewayapi.Grant
}

// pair lets a process with a pairing token in as a replica. The token is used up before anything is given away; whoever
// used it may come again with the same identity key until it has its identity on disk, because an answer may be lost.
func (s *Sessions) pair(ctx context.Context, a *applicant) error {
	p, err := s.reserve(ctx, a)
	if err != nil {
		return err
	}
	log := s.log.With("gateway_id", p.gateway.ID, "replica_id", p.replica.ID, "pairing_id", p.pairing.ID, "remote_address", a.address)
	if len(p.gateway.Status.PublicKey) > 0 {
		if p.grant.SealedKey, err = s.introduce(ctx, p, a); err != nil {
			return errors.Join(err, s.giveBack(ctx, p))
		}
		p.grant.Escrow = p.gateway.Status.Escrow
	}
	taken, err := a.client.Grant(ctx, p.grant)
	if err != nil {
		err = fmt.Errorf("giving replica %s of gateway %s its identity: %w", p.replica.ID, p.gateway.ID, err)
		if !hubapi.LostConnection(err) {
			err = errors.Join(err, s.giveBack(ctx, p)) // It has said that it does not take it.
		}
		return err
	}
	if err := s.paired(ctx, p, taken); err != nil {
		return err
	}
	log.InfoContext(ctx, "replica paired", "project", p.gateway.Project, "name", p.replica.Name)
	return nil
}

// unknownToken is the answer to a token that does not exist and to one whose secret is wrong, so that nobody learns which.
func unknownToken() *hubapi.Problem {
	return hubapi.NewProblem(hubapi.CodeUnauthorized, "the hub does not know this pairing token").
		WithHint("Make a new one. A token belongs to the hub and the gateway that it was made for.")
}

// reserve checks the token and uses it up, in the batch that makes the applicant a replica: of many who come with one
// token at once one finds the records as it read them.
func (s *Sessions) reserve(ctx context.Context, a *applicant) (*place, error) {
	id := uuid.NewString()
	for range pairTries {
		p, err := s.checkToken(ctx, a)
		if err != nil {
			return nil, err
		}
		if p.replica == nil {
			founding, err := p.enter(a, id, s.now())
			if err != nil {
				return nil, err
			}
			if founding {
				if err := pause(ctx, lookAgain); err != nil {
					return nil, err
				}
				continue
			}
		}
		var until time.Time
		if p.grant, until, err = s.grant(p.gateway, p.replica.ID, a.CSR); err != nil {
			return nil, badRequest(err)
		}
		p.replica.CertifiedUntil = until
		if err := p.commit(ctx, s.store); err == nil {
			return p, nil
		} else if !errors.Is(err, store.ErrStale) {
			return nil, err
		}
	}
	return nil, hubapi.NewProblem(hubapi.CodeBusy, "another replica of this gateway is being paired").WithHint("Try again in a minute.")
}

// checkToken finds the token and its gateway. The place has a replica when the applicant has used the token before and has
// not got its identity.
func (s *Sessions) checkToken(ctx context.Context, a *applicant) (*place, error) {
	var want []byte
	pairing, err := roster.LoadPairing(ctx, s.store, a.Pairing.ID)
	switch {
	case err == nil:
		want = pairing.Spec.SecretHash
	case !errors.Is(err, store.ErrNoRecord):
		return nil, err
	default:
		want = make([]byte, sha256.Size) // The hash of no secret that anybody knows.
	}
	shown := sha256.Sum256(a.Pairing.Secret)
	if subtle.ConstantTimeCompare(shown[:], want) != 1 || pairing == nil {
		return nil, unknownToken()
	}
	gateway, err := roster.LoadGateway(ctx, s.store, pairing.Spec.Gateway)
	if errors.Is(err, store.ErrNoRecord) || (err == nil && gateway.Project != pairing.Project) {
		return nil, hubapi.NewProblem(hubapi.CodeUnauthorized, "the gateway that the pairing token was made for is gone")
	}
	if err != nil {
		return nil, err
	}
	p := &place{gateway: gateway, pairing: pairing}
	if !s.now().Before(pairing.Spec.ExpiresAt) {
		return nil, hubapi.NewProblem(hubapi.CodeUnauthorized, "the pairing token expired at %s",
			pairing.Spec.ExpiresAt.Format(time.RFC3339)).WithHint("Make a new one.")
	}
	if used := pairing.Status.UsedAt; used != nil {
		p.replica = gateway.Status.Replica(pairing.Status.Replica)
		if p.replica == nil || p.replica.PairedAt != nil || !bytes.Equal(p.replica.IdentityKey, a.IdentityKey) {
			return nil, hubapi.NewProblem(hubapi.CodeUnauthorized, "the pairing token was used at %s", used.Format(time.RFC3339)).
				WithHint("It is good for one process. Make a new one; if nobody you know has used it, revoke the replica that did.")
		}
	}
	return p, nil
}

// enter makes the applicant a replica of the gateway. Founding tells that the first replica is just being paired, and that
// it is worth to wait.
func (p *place) enter(a *applicant, id string, now time.Time) (founding bool, err error) {
	status := &p.gateway.Status
	first := len(status.PublicKey) == 0
	if first && slices.ContainsFunc(status.Replicas, func(r roster.Replica) bool {
		return r.PairedAt == nil && now.Sub(r.InvitedAt) < foundingLimit && !bytes.Equal(r.IdentityKey, a.IdentityKey)
	}) {
		return true, nil
	}
	// Whoever was let in and never took its identity has left nothing behind; nor has an earlier life of this one.
	status.Replicas = slices.DeleteFunc(status.Replicas, func(r roster.Replica) bool {
		return r.PairedAt == nil && (now.Sub(r.InvitedAt) >= foundingLimit || bytes.Equal(r.IdentityKey, a.IdentityKey))
	})
	replica := roster.Replica{
		ID: id, Name: a.Name, Version: a.Version, IdentityKey: a.IdentityKey, Pairing: p.pairing.ID, InvitedAt: now.UTC(),
	}
	if first {
		if _, err := seal.Seal(a.Pairing.SealingKey, seal.Binding{}, nil); err != nil {
			return false, hubapi.NewProblem(hubapi.CodeInvalid, "the sealing key is not one")
		}
		if len(a.Pairing.Voucher) != sha256.Size {
			return false, hubapi.NewProblem(hubapi.CodeInvalid, "the voucher for the sealing key is not one")
		}
		replica.SealingKey, replica.Voucher = a.Pairing.SealingKey, a.Pairing.Voucher
	}
	active := 0
	for _, r := range status.Replicas {
		if r.RevokedAt == nil {
			active++
		}
		if bytes.Equal(r.IdentityKey, a.IdentityKey) {
			return false, hubapi.NewProblem(hubapi.CodeConflict, "the identity key is that of replica %q already", r.Name).
				WithHint("Each replica has an identity directory of its own. Pair with a new one.")
		}
	}
	if active >= maxReplicas {
		return false, hubapi.NewProblem(hubapi.CodeConflict, "gateway %q has %d replicas already", p.gateway.Name, active).
			WithHint("Revoke those that are no longer there.")
	}
	status.Replicas = append(status.Replicas, replica)
	p.replica = status.Replica(id)
	p.pairing.Status = roster.PairingStatus{UsedAt: new(now.UTC()), Replica: id}
	return false, nil
}

func (p *place) commit(ctx context.Context, s store.Records) error {
	gateway, err := p.gateway.Encode()
	if err != nil {
		return err
	}
	pairing, err := p.pairing.Encode()
	if err != nil {
		return err
	}
	return s.Commit(ctx, store.Batch{Put: []*store.Record{gateway, pairing}})
}

// giveBack undoes what reserve did, when nothing was given away.
func (s *Sessions) giveBack(ctx context.Context, p *place) error {
	id := p.replica.ID
	p.gateway.Status.Replicas = slices.DeleteFunc(p.gateway.Status.Replicas, func(r roster.Replica) bool { return r.ID == id })
	p.pairing.Status = roster.PairingStatus{}
	err := p.commit(ctx, s.store)
	if errors.Is(err, store.ErrStale) {
		return nil // It is forgotten in time; the same process may come again before.
	}
	return err
}

// introduce has a replica share the gateway's key with the applicant. Without one it is empty: a gateway that has been lost
// is made again with the recovery key.
func (s *Sessions) introduce(ctx context.Context, p *place, a *applicant) ([]byte, error) {
	asked := gatewayapi.Introduction{
		PairingID: p.pairing.ID, Sealed: p.pairing.Spec.Introduction,
		TransferKey: a.Pairing.TransferKey, Invitation: a.Pairing.Invitation,
	}
	if _, err := seal.Seal(asked.TransferKey, seal.Binding{}, nil); err != nil {
		return nil, hubapi.NewProblem(hubapi.CodeInvalid, "the transfer key is not a sealing key")
	}
	var refused error
	for _, m := range s.awaitMembers(ctx, p.gateway) {
		answer, err := m.client.Introduce(ctx, asked)
		if err == nil {
			return answer.SealedKey, nil
		}
		refused = err
	}
	switch problem, ok := errors.AsType[*hubapi.Problem](refused); {
	case len(p.gateway.Status.Escrow) > 0:
		return nil, nil
	case refused == nil:
		return nil, hubapi.NewProblem(hubapi.CodeUnreachable, "no replica of gateway %q is connected, so none can share its key",
			p.gateway.Name).WithHint("Start one, then try again. If all are lost for good, delete the gateway and make a new one.")
	case ok && !hubapi.LostConnection(refused):
		return nil, problem
	default:
		return nil, hubapi.NewProblem(hubapi.CodeUnreachable, "no replica of gateway %q could share its key: %s", p.gateway.Name, refused).
			WithHint("Try again.")
	}
}

// awaitMembers returns the gateway's replicas that are connected. It waits a little for one: the first one may have been
// paired just now.
func (s *Sessions) awaitMembers(ctx context.Context, g *roster.Gateway) []*live {
	if len(g.Status.Escrow) > 0 {
		members, _ := s.registry.members(g.ID)
		return members
	}
	timer := time.NewTimer(othersLimit)
	defer timer.Stop()
	for {
		members, changed := s.registry.members(g.ID)
		if len(members) > 0 {
			return members
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// paired keeps that a replica has its identity. If its key is not the gateway's it is shut out: what is sealed to the
// gateway it could not open.
func (s *Sessions) paired(ctx context.Context, p *place, taken gatewayapi.Taken) error {
	wrong := false
	_, err := roster.ChangeGateway(ctx, s.store, p.gateway.ID, func(g *roster.Gateway) error {
		r := g.Status.Replica(p.replica.ID)
		if r == nil {
			return unknownReplica()
		}
		g.Status.Paired(r.ID, s.now())
		// It may have been given the keys just before one was rotated; then it learns of that when it connects.
		current := bytes.Equal(taken.SealingKey, g.Status.PublicKey)
		if wrong = !current && len(g.Status.RotationsAfter(taken.SealingKey)) == 0; wrong {
			r.RevokedAt = new(s.now().UTC())
			return nil
		}
		if current && len(taken.Escrow) > 0 && len(taken.Escrow) <= maxEscrow && g.Spec.RecoveryKey != "" {
			g.Status.Escrow, g.Status.EscrowFor = taken.Escrow, g.Spec.RecoveryKey
		}
		return nil
	}, roster.Topic(p.gateway.ID))
	if err == nil && wrong {
		return hubapi.NewProblem(hubapi.CodeForbidden, "the replica has taken a key that is not the gateway's, and was revoked")
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
