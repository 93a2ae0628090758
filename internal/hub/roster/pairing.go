package roster

import (
	"context"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// Pairing is a pairing token as it is kept.
type Pairing = Document[PairingSpec, PairingStatus]

// PairingSpec is what the one who made a token announced.
type PairingSpec struct {
	Gateway      string    `json:"gateway"`
	SecretHash   []byte    `json:"secret_hash"`
	Introduction []byte    `json:"introduction,omitempty"`
	ExpiresAt    time.Time `json:"expires_at"`
}

// PairingStatus says who came with a token.
type PairingStatus struct {
	UsedAt *time.Time `json:"used_at,omitempty"`
	// Replica is who was let in.
	Replica string `json:"replica,omitempty"`
}

// LoadPairing returns a pairing token, or store.ErrNoRecord.
func LoadPairing(ctx context.Context, s store.Records, id string) (*Pairing, error) {
	return load[PairingSpec, PairingStatus](ctx, s, store.KindPairing, id)
}

// Pairings returns pairing tokens.
func Pairings(ctx context.Context, s store.Records, f store.Filter) ([]*Pairing, error) {
	return list[PairingSpec, PairingStatus](ctx, s, store.KindPairing, f)
}

// NewPairing makes a token that the store does not have yet.
func NewPairing(project, id string, spec PairingSpec, now time.Time) *Pairing {
	return &Pairing{
		Record: &store.Record{Kind: store.KindPairing, ID: id, Project: project, Name: id, CreatedAt: now.UTC()},
		Spec:   spec,
	}
}
