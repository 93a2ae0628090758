package hub

import (
	"context"
	"net/http"
	"time"
)

// GatewayDirectory knows which gateways can be reached at the moment, and how. It keeps nothing: which gateways there are
// is in the store.
type GatewayDirectory interface {
	// SystemID returns the id of the gateway beside the hub, or "".
	SystemID() string
	// RoundTripper returns the way to a gateway for what any of its replicas can answer, and whether there is one.
	RoundTripper(id string) (http.RoundTripper, bool)
	// Links returns the gateways that work for this hub at the moment, and a channel that is closed when that changes.
	Links() (links []Link, changed <-chan struct{})
	// Presence returns which replicas of a gateway are connected to this hub, and a channel that is closed when that
	// changes.
	Presence(id string) (p Presence, changed <-chan struct{})
	// Recheck looks at what is kept of a gateway, and cuts at once those connections that it no longer allows.
	Recheck(id string)
}

// Link is the way to the one replica of a gateway that works on its clusters, as long as it does.
type Link struct {
	// Serial tells links apart; it is never used again while the hub runs.
	Serial  uint64
	Gateway string
	// Project is the gateway's; "" is all, for the gateway beside the hub.
	Project string
	// Epoch is that of the lease, and Instance the hub's own name in it. Epoch 0 needs no lease.
	Epoch    int64
	Instance string
	// Resumes tells that the gateway is given what is unfinished though nobody waits for it.
	Resumes   bool
	Transport http.RoundTripper
	// Life ends with the link.
	Life context.Context //nolint:containedctx // A link is as long as its life, and waiting for that costs no goroutine.
	// Resign is called when the gateway has said that it has stopped its work, and that is kept; nil where there is no lease.
	Resign func()
}

// Presence is which replicas of a gateway are connected.
type Presence struct {
	Replicas map[string]ReplicaPresence
	// Holder is the replica that has the lease, as far as this hub knows.
	Holder string
	// Elsewhere tells that another instance of the hub gives the lease.
	Elsewhere bool
}

// ReplicaPresence is a replica that is connected.
type ReplicaPresence struct {
	Since   time.Time
	Version string
}

// NewSystemGateway returns the directory of a hub that has one gateway beside it and no other.
func NewSystemGateway(id string, transport http.RoundTripper) GatewayDirectory {
	never := make(chan struct{})
	return &systemGateway{never: never, link: Link{Gateway: id, Transport: transport, Life: context.Background()}}
}

type systemGateway struct {
	link  Link
	never chan struct{}
}

// SystemID implements GatewayDirectory.
func (g *systemGateway) SystemID() string { return g.link.Gateway }

// RoundTripper implements GatewayDirectory.
func (g *systemGateway) RoundTripper(id string) (http.RoundTripper, bool) {
	return g.link.Transport, id == g.link.Gateway
}

// Links implements GatewayDirectory.
func (g *systemGateway) Links() ([]Link, <-chan struct{}) { return []Link{g.link}, g.never }

// Presence implements GatewayDirectory.
func (g *systemGateway) Presence(string) (Presence, <-chan struct{}) { return Presence{}, g.never }

// Recheck implements GatewayDirectory.
func (g *systemGateway) Recheck(string) {}
