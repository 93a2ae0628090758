package roster

import (
	"context"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
)

// Lease says which replica works on a gateway's clusters, and which instance of the hub listens to it.
type Lease = Document[struct{}, LeaseStatus]

// LeaseStatus is the lease as it stands. A replica counts it from its arrival by its own clock, and the hub from when it
// was sent by its own, so no time of day is in it.
type LeaseStatus struct {
	// Instance is the instance of the hub that gives the lease and keeps the holder's reports; "" is none.
	Instance string `json:"instance,omitempty"`
	// Holder is the replica that has the lease; "" is none yet.
	Holder string `json:"holder,omitempty"`
	// Epoch grows with each change of holder.
	Epoch int64 `json:"epoch"`
	// TTL is the longest that the holder may go on without hearing of the hub again.
	TTL time.Duration `json:"ttl"`
}

// LoadLease returns a gateway's lease, or store.ErrNoRecord.
func LoadLease(ctx context.Context, s store.Records, gatewayID string) (*Lease, error) {
	return load[struct{}, LeaseStatus](ctx, s, store.KindLease, gatewayID)
}

// NewLease makes a lease that the store does not have yet.
func NewLease(project, gatewayID string, now time.Time) *Lease {
	return &Lease{Record: &store.Record{
		Kind: store.KindLease, ID: gatewayID, Project: project, Name: gatewayID, CreatedAt: now.UTC(),
	}}
}

// ChangeLease reads a lease, changes it and writes it, again when somebody else wrote in between.
func ChangeLease(ctx context.Context, s store.Records, gatewayID string, fn func(*Lease) error) (*Lease, error) {
	return change(ctx, s, store.KindLease, gatewayID, fn)
}
