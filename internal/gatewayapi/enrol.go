package gatewayapi

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
)

// Paths of the API of a gateway that has a tunnel: how it gets its identity, keeps it and shares it.
const (
	PathEnrol     = "/v1/enrol"
	PathIdentity  = "/v1/identity"
	PathRefusal   = "/v1/refusal"
	PathRenew     = "/v1/renew"
	PathIntroduce = "/v1/introduce"
	PathLease     = "/v1/lease"
	PathHub       = "/v1/hub"
)

// EnrolChallenge is the hub's first word to a process that has no certificate: prove who you are, now.
type EnrolChallenge struct {
	Nonce []byte `json:"nonce"`
}

// Enrolment is what such a process answers. Exactly one of Pairing and Rejoin is set.
type Enrolment struct {
	Pairing *PairingProof `json:"pairing,omitempty"`
	Rejoin  *RejoinProof  `json:"rejoin,omitempty"`
	// Name is what people know the replica by, such as its host's name.
	Name    string `json:"name"`
	Version string `json:"version"`
	// CSR is a certificate request (DER); only its public key is used.
	CSR []byte `json:"csr"`
	// IdentityKey is the replica's long-lived Ed25519 public key.
	IdentityKey []byte `json:"identity_key"`
	// Signature is by the identity key over Transcript.
	Signature []byte `json:"signature"`
}

// PairingProof shows a pairing token's secret, and offers keys.
type PairingProof struct {
	ID     string `json:"id"`
	Secret []byte `json:"secret"`
	// TransferKey is an HPKE public key of this replica alone, which the gateway's key can be sealed to.
	TransferKey []byte `json:"transfer_key"`
	// Invitation is Invite(introduction, id, TransferKey): it tells the gateway's other replicas, and not the hub, that the
	// transfer key belongs to one who was invited.
	Invitation []byte `json:"invitation"`
	// SealingKey is the public half of the key that the gateway will have if this replica is its first one.
	SealingKey []byte `json:"sealing_key"`
	// Voucher is the token's Vouch of the sealing key, for the one who made the token.
	Voucher []byte `json:"voucher"`
}

// RejoinProof names a replica whose certificate has expired.
type RejoinProof struct {
	Gateway string `json:"gateway"`
	Replica string `json:"replica"`
}

// Transcript is what the signature of an enrolment is over. The exporter is taken from the TLS connection, so that an
// enrolment cannot be repeated on another one.
func (e Enrolment) Transcript(nonce, exporter []byte) []byte {
	h := sha256.New()
	part := func(b []byte) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:])
		h.Write(b)
	}
	part([]byte("palette/enrol/v1"))
	part(nonce)
	part(exporter)
	part([]byte(e.Name))
	part(e.CSR)
	part(e.IdentityKey)
	if p := e.Pairing; p != nil {
		part([]byte(p.ID))
		part(p.TransferKey)
		part(p.Invitation)
		part(p.SealingKey)
		part(p.Voucher)
	}
	if r := e.Rejoin; r != nil {
		part([]byte(r.Gateway))
		part([]byte(r.Replica))
	}
	return h.Sum(nil)
}

// Signed tells whether the enrolment's signature is its identity key's.
func (e Enrolment) Signed(nonce, exporter []byte) bool {
	return len(e.IdentityKey) == ed25519.PublicKeySize &&
		ed25519.Verify(e.IdentityKey, e.Transcript(nonce, exporter), e.Signature)
}

// Invite proves the knowledge of an introduction for one pairing and one transfer key.
func Invite(introduction []byte, pairingID string, transferKey []byte) []byte {
	mac := hmac.New(sha256.New, introduction)
	mac.Write([]byte("palette/invite/v1:" + pairingID + ":"))
	mac.Write(transferKey)
	return mac.Sum(nil)
}

// ExporterLabel is the label of the TLS exporter in an enrolment's transcript (32 bytes, no context).
const ExporterLabel = "EXPERIMENTAL-palette-enrol"

// Grant is what a replica gets: who it is, with a certificate for a day. At pairing it also says how the replica gets the
// gateway's key.
type Grant struct {
	Gateway     string `json:"gateway"`
	Project     string `json:"project"`
	GatewayName string `json:"gateway_name"`
	Replica     string `json:"replica"`
	// Certificate is DER, CA is PEM.
	Certificate []byte `json:"certificate"`
	CA          []byte `json:"ca"`
	// SealedKey is the gateway's private sealing key, sealed by another replica to the transfer key; empty for the first.
	SealedKey []byte `json:"sealed_key,omitempty"`
	// RecoveryKey is the organisation's public key, base64; Escrow the gateway's key sealed to it, where there is one.
	RecoveryKey string `json:"recovery_key,omitempty"`
	Escrow      []byte `json:"escrow,omitempty"`
}

// Taken is the answer to a grant: the identity is on disk.
type Taken struct {
	// SealingKey is the public half of the key that the gateway has now.
	SealingKey []byte `json:"sealing_key"`
	// Escrow is the gateway's key sealed to the recovery key; empty where there is none.
	Escrow []byte `json:"escrow,omitempty"`
}

// Renewal is what a replica answers when it is to have a new certificate.
type Renewal struct {
	CSR []byte `json:"csr"`
}

// Introduction asks a replica to share the gateway's key with a new one.
type Introduction struct {
	PairingID string `json:"pairing_id"`
	// Sealed is the introduction as the maker of the token sealed it; empty for tokens made before the gateway had a key.
	Sealed      []byte `json:"sealed,omitempty"`
	TransferKey []byte `json:"transfer_key"`
	Invitation  []byte `json:"invitation"`
}

// Introduced is the answer: the gateway's private sealing key, sealed to the transfer key.
type Introduced struct {
	SealedKey []byte `json:"sealed_key"`
}

// Lease says who works on the gateway's clusters, until when. It counts from its arrival, by the gateway's own clock.
type Lease struct {
	// Epoch grows with each change of holder. What is reported under an older one is refused.
	Epoch int64 `json:"epoch"`
	// Holder is set for the replica that has the lease.
	Holder bool `json:"holder"`
	// TTLMillis is how long the lease is good for, in milliseconds.
	TTLMillis int64 `json:"ttl_millis"`
}

// HubInfo says which replica of the hub is at the other end, and how many others there are.
type HubInfo struct {
	Instance string `json:"instance"`
	Version  string `json:"version"`
	// Replicas are all instances of the hub that run, with the URL of each where it has one of its own; "" is behind the
	// common one.
	Replicas map[string]string `json:"replicas"`
	// Draining tells that this instance is about to go.
	Draining bool `json:"draining,omitempty"`
}

// Enrol asks a process without a certificate who it is.
func (c *Client) Enrol(ctx context.Context, challenge EnrolChallenge) (Enrolment, error) {
	var e Enrolment
	err := c.do(ctx, http.MethodPost, PathEnrol, challenge, &e)
	return e, err
}

// Grant gives a replica its identity, at enrolment or renewal. It is on disk when the answer comes.
func (c *Client) Grant(ctx context.Context, g Grant) (Taken, error) {
	var t Taken
	err := c.do(ctx, http.MethodPost, PathIdentity, g, &t)
	return t, err
}

// Refuse tells a process why it gets no identity.
func (c *Client) Refuse(ctx context.Context, problem any) error {
	return c.do(ctx, http.MethodPost, PathRefusal, problem, nil)
}

// Renew asks a replica for a new certificate request.
func (c *Client) Renew(ctx context.Context) (Renewal, error) {
	var r Renewal
	err := c.do(ctx, http.MethodPost, PathRenew, struct{}{}, &r)
	return r, err
}

// Introduce asks a replica to share the gateway's key with a new one.
func (c *Client) Introduce(ctx context.Context, i Introduction) (Introduced, error) {
	var answer Introduced
	err := c.do(ctx, http.MethodPost, PathIntroduce, i, &answer)
	return answer, err
}

// GiveLease tells a replica who works on the gateway's clusters.
func (c *Client) GiveLease(ctx context.Context, l Lease) error {
	return c.do(ctx, http.MethodPost, PathLease, l, nil)
}

// TellHub tells a replica about the hub.
func (c *Client) TellHub(ctx context.Context, h HubInfo) error {
	return c.do(ctx, http.MethodPost, PathHub, h, nil)
}
