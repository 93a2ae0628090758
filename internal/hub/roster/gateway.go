package roster

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Gateway is a gateway as it is kept.
type Gateway = Document[hubapi.GatewaySpec, GatewayStatus]

// GatewayStatus is what pairing has made of a gateway.
type GatewayStatus struct {
	// PublicKey is the key that secrets are sealed to; it is set once the first replica has its identity on disk.
	PublicKey []byte `json:"public_key,omitempty"`
	// Rotations are those that led to the key, oldest first: by them a replica that was away learns it.
	Rotations []gatewayapi.Rotation `json:"rotations,omitempty"`
	// Voucher is what the replica that made the key said of it to the one who made its token.
	Voucher *hubapi.KeyVoucher `json:"voucher,omitempty"`
	// Escrow is the gateway's keys sealed to the recovery key EscrowFor.
	Escrow    []byte    `json:"escrow,omitempty"`
	EscrowFor string    `json:"escrow_for,omitempty"`
	Replicas  []Replica `json:"replicas,omitempty"`
	// Custody is one half of a secret; its owner keeps the other one. See hubapi.Custody.
	Custody []byte `json:"custody,omitempty"`
}

// Replica is one process that was let in as a gateway.
type Replica struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// IdentityKey is the replica's long-lived Ed25519 public key.
	IdentityKey []byte `json:"identity_key"`
	// Pairing is the token it came with.
	Pairing   string    `json:"pairing"`
	InvitedAt time.Time `json:"invited_at"`
	// PairedAt is when the replica was known to have its identity on disk; nil until then.
	PairedAt *time.Time `json:"paired_at,omitempty"`
	// SealingKey is what the gateway's public key becomes when this replica, the first one, is paired.
	SealingKey []byte `json:"sealing_key,omitempty"`
	Voucher    []byte `json:"voucher,omitempty"`
	// CertifiedUntil is when the newest certificate given to the replica ends.
	CertifiedUntil time.Time  `json:"certified_until"`
	LastSeen       *time.Time `json:"last_seen,omitempty"`
	RevokedAt      *time.Time `json:"revoked_at,omitempty"`
}

const topicPrefix = "gateway/"

// Topic is the topic that is woken when who may act as a gateway changes.
func Topic(gatewayID string) string { return topicPrefix + gatewayID }

// FromTopic returns the gateway whose topic it is; ok is false for other topics.
func FromTopic(topic string) (gatewayID string, ok bool) {
	return strings.CutPrefix(topic, topicPrefix)
}

// LoadGateway returns a gateway, or store.ErrNoRecord.
func LoadGateway(ctx context.Context, s store.Records, id string) (*Gateway, error) {
	return load[hubapi.GatewaySpec, GatewayStatus](ctx, s, store.KindGateway, id)
}

// Gateways returns the gateways of a project by name; of all projects for "".
func Gateways(ctx context.Context, s store.Records, f store.Filter) ([]*Gateway, error) {
	return list[hubapi.GatewaySpec, GatewayStatus](ctx, s, store.KindGateway, f)
}

// ChangeGateway reads a gateway, changes it and writes it, again when somebody else wrote in between. The function returns
// ErrUnchanged when there is nothing to write. The topics are woken with the write: Topic, where it changes who may act as
// the gateway.
func ChangeGateway(
	ctx context.Context, s store.Records, id string, fn func(*Gateway) error, topics ...string,
) (*Gateway, error) {
	return change(ctx, s, store.KindGateway, id, fn, topics...)
}

// maxRotations bounds the rotations that are kept. A replica that has missed more of them is paired again.
const maxRotations = 64

// Rotated makes the rotation's key the gateway's. It tells whether the rotation starts from the key that it has.
func (s *GatewayStatus) Rotated(r gatewayapi.Rotation) bool {
	if !bytes.Equal(r.From, s.PublicKey) {
		return false
	}
	s.PublicKey, s.Voucher = r.To, r.Voucher
	if len(r.Escrow) > 0 {
		s.Escrow, s.EscrowFor = r.Escrow, r.RecoveryKey
	}
	r.Escrow, r.Voucher = nil, nil // They are of no use once there is a newer key.
	s.Rotations = append(s.Rotations, r)
	if extra := len(s.Rotations) - maxRotations; extra > 0 {
		s.Rotations = s.Rotations[extra:]
	}
	return true
}

// RotationsAfter are those that lead from an older key to the gateway's; none for any other key.
func (s *GatewayStatus) RotationsAfter(key []byte) []gatewayapi.Rotation {
	for i, r := range s.Rotations {
		if bytes.Equal(r.From, key) {
			return s.Rotations[i:]
		}
	}
	return nil
}

// Replica returns the replica with the id, nil when there is none.
func (s *GatewayStatus) Replica(id string) *Replica {
	i := slices.IndexFunc(s.Replicas, func(r Replica) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &s.Replicas[i]
}

// Sole tells that no other replica than the one can connect as things stand.
func (s *GatewayStatus) Sole(id string) bool {
	return !slices.ContainsFunc(s.Replicas, func(r Replica) bool {
		return r.ID != id && r.PairedAt != nil && r.RevokedAt == nil
	})
}

// Paired notes that a replica has its identity on disk. The first one's key becomes the gateway's. It tells whether that
// is news.
func (s *GatewayStatus) Paired(id string, now time.Time) bool {
	r := s.Replica(id)
	if r == nil || r.PairedAt != nil {
		return false
	}
	r.PairedAt = new(now.UTC())
	if len(s.PublicKey) == 0 {
		s.PublicKey, s.Voucher = r.SealingKey, &hubapi.KeyVoucher{Pairing: r.Pairing, MAC: r.Voucher}
	}
	r.SealingKey, r.Voucher = nil, nil
	return true
}
