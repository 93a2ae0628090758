package hubapi

import (
	"context"
	"crypto/hmac"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// SystemGatewayID names the gateway that runs inside the hub; the hub answers with its real id.
const SystemGatewayID = "system"

// Gateway is a private cloud gateway.
type Gateway struct {
	Meta
	System bool          `json:"system"`
	Spec   GatewaySpec   `json:"spec"`
	Status GatewayStatus `json:"status"`
}

// GatewaySpec is what people say of a gateway.
type GatewaySpec struct {
	Labels map[string]string `json:"labels,omitempty"`
	// RecoveryKey is the organisation's public sealing key, base64; "" is none. The gateway's own key is kept sealed to it,
	// so that a gateway that was lost can be made again and still opens what was sealed to the old one.
	RecoveryKey string `json:"recovery_key,omitempty"`
}

// GatewayWrite creates or updates a gateway.
type GatewayWrite struct {
	Name string      `json:"name"`
	Spec GatewaySpec `json:"spec"`
}

// GatewayState says whether a gateway can be reached.
type GatewayState string

// The states of a gateway.
const (
	// GatewayPending is a gateway that no process has been paired as yet.
	GatewayPending GatewayState = "pending"
	GatewayOnline  GatewayState = "online"
	GatewayOffline GatewayState = "offline"
)

// GatewayStatus is what the hub knows of a gateway.
type GatewayStatus struct {
	State GatewayState `json:"state"`
	// Version is that of the replica that holds the lease, else of the one that was connected last.
	Version string `json:"version,omitempty"`
	// PublicKey is the HPKE public key that secrets are sealed to, base64; "" while the gateway is pending. All replicas
	// share it.
	PublicKey string `json:"public_key,omitempty"`
	// FormerKeys are the keys that PublicKey came in the place of, base64, newest first. The gateway still opens what is sealed
	// to them.
	FormerKeys []string `json:"former_keys,omitempty"`
	// Voucher is what the replica that made the key said of it.
	Voucher *KeyVoucher `json:"voucher,omitempty"`
	// Recoverable tells that the gateway's key is kept sealed to the recovery key.
	Recoverable bool             `json:"recoverable,omitempty"`
	Replicas    []GatewayReplica `json:"replicas,omitempty"`
}

// KeyVoucher is PairingToken.Vouch of a gateway's key, by a replica that made the key.
type KeyVoucher struct {
	// Pairing is the id of the token that the process was paired with.
	Pairing string `json:"pairing"`
	MAC     []byte `json:"mac"`
	// Serial is how many keys the gateway had before this one. A key that was made by rotation is vouched for together with it,
	// so that an older key is not taken for a newer one.
	Serial int `json:"serial,omitempty"`
}

// Good tells whether the voucher is for the key and was made with the introduction.
func (v *KeyVoucher) Good(introduction, publicKey []byte) bool {
	if v == nil || uuid.Validate(v.Pairing) != nil {
		return false
	}
	return hmac.Equal(v.MAC, vouch(introduction, v.Pairing, v.Serial, publicKey))
}

// VouchRotated vouches for a key that came in the place of as many others as serial says.
func VouchRotated(introduction []byte, serial int, publicKey []byte) *KeyVoucher {
	id := uuid.NewString()
	return &KeyVoucher{Pairing: id, Serial: serial, MAC: vouch(introduction, id, serial, publicKey)}
}

// GatewayReplica is one process that was paired as a gateway.
type GatewayReplica struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Holder tells that the replica has the lease: it works on clusters, the others answer reads.
	Holder         bool       `json:"holder"`
	PairedAt       time.Time  `json:"paired_at"`
	ConnectedSince *time.Time `json:"connected_since,omitempty"`
	LastSeen       *time.Time `json:"last_seen,omitempty"`
	RevokedAt      *time.Time `json:"revoked_at,omitempty"`
}

// Gateway returns a gateway; SystemGatewayID is understood.
func (c *Client) Gateway(ctx context.Context, id string) (*Gateway, error) {
	if id != SystemGatewayID {
		if err := checkID(id); err != nil {
			return nil, err
		}
	}
	var g Gateway
	if err := c.do(ctx, call{method: http.MethodGet, path: pathGateways + "/" + id}, &g); err != nil {
		return nil, err
	}
	return &g, nil
}

// AwaitGateway returns a gateway when it has the state, or as it is when the hub has waited as long as it does.
func (c *Client) AwaitGateway(ctx context.Context, id string, state GatewayState) (*Gateway, error) {
	if id != SystemGatewayID {
		if err := checkID(id); err != nil {
			return nil, err
		}
	}
	query := url.Values{"state": {string(state)}, "wait": {"20s"}}
	var g Gateway
	if err := c.do(ctx, call{method: http.MethodGet, path: pathGateways + "/" + id, query: query}, &g); err != nil {
		return nil, err
	}
	return &g, nil
}

// GatewayByName returns a gateway by name.
func (c *Client) GatewayByName(ctx context.Context, name string) (*Gateway, error) {
	return byName[Gateway](ctx, c, pathGateways, "gateway", name)
}

// Gateways returns the project's gateways, and the system gateway where there is one, by name.
func (c *Client) Gateways(ctx context.Context) ([]Gateway, error) {
	var list List[Gateway]
	if err := c.do(ctx, call{method: http.MethodGet, path: pathGateways}, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// PutGateway keeps a gateway. It is pending until a process has been paired as it.
func (c *Client) PutGateway(ctx context.Context, id string, w GatewayWrite, opts WriteOptions) (*Gateway, error) {
	return put[Gateway](ctx, c, pathGateways, id, w, opts)
}

// DeleteGateway deletes a gateway that no cloud account and no address pool uses, and cuts its tunnels.
func (c *Client) DeleteGateway(ctx context.Context, id string) error {
	return remove(ctx, c, pathGateways, id)
}

// QueryDryRun has a delete only tell what stands against it.
const QueryDryRun = "dry_run"

// MayDeleteGateway tells what DeleteGateway would refuse, and deletes nothing.
func (c *Client) MayDeleteGateway(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	query := url.Values{QueryDryRun: {"true"}}
	return c.do(ctx, call{method: http.MethodDelete, path: pathGateways + "/" + id, query: query}, nil)
}

// RevokeReplica shuts one replica of a gateway out for good and cuts its tunnels.
func (c *Client) RevokeReplica(ctx context.Context, gatewayID, replicaID string) error {
	for _, id := range []string{gatewayID, replicaID} {
		if err := checkID(id); err != nil {
			return err
		}
	}
	return c.do(ctx, call{method: http.MethodDelete, path: pathGateways + "/" + gatewayID + "/replicas/" + replicaID}, nil)
}
