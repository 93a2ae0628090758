package hubapi

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// DefaultPairingTTL is how long a pairing token is good for where nothing else is said.
const DefaultPairingTTL = time.Hour

// PairingWrite announces a pairing token to the hub. The token stays with the one who made it: the hub gets the hash of
// its secret, and what it has to relay to the gateway that a further replica joins.
type PairingWrite struct {
	// SecretHash is the SHA-256 of the token's secret.
	SecretHash []byte `json:"secret_hash"`
	TTLSeconds int    `json:"ttl_seconds"`
	// Introduction is the token's introduction sealed to the gateway's key (see IntroductionBinding); empty for a gateway
	// that has no key yet.
	Introduction []byte `json:"introduction,omitempty"`
}

// Pairing is a pairing token as the hub knows it.
type Pairing struct {
	ID        string    `json:"id"`
	GatewayID string    `json:"gateway_id"`
	ExpiresAt time.Time `json:"expires_at"`
	// UsedAt is set when a process has been paired with it.
	UsedAt *time.Time `json:"used_at,omitempty"`
	// Pin is the SHA-256 of the public key (SPKI) of the hub's CA: by it a gateway knows the hub when it pairs.
	Pin []byte `json:"pin"`
}

// PairingToken lets one process become a replica of a gateway, once. It passes from the one who makes it to the gateway
// by hand, so it can carry what the hub must not know.
type PairingToken struct {
	ID      string `json:"id"`
	Gateway string `json:"gateway"`
	Project string `json:"project"`
	// Secret is shown to the hub once, in the tunnel.
	Secret []byte `json:"secret"`
	// Pin is how the hub is known.
	Pin []byte `json:"pin"`
	// Introduction is never shown to the hub. A replica proves with it to the gateway's other replicas that it was invited
	// by the one who owns the gateway, not by the hub, before they share the gateway's key.
	Introduction []byte `json:"introduction"`
	// Recovery is the SHA-256 of the recovery key, so that no hub can put one of its own in its place; empty is none.
	Recovery []byte `json:"recovery,omitempty"`
	// Key is the fingerprint of the gateway's sealing key as the maker of the token knows it, so that no hub can have a
	// further replica work with another one; "" for a gateway that has no key yet.
	Key string `json:"key,omitempty"`
	// Kept tells that its maker keeps the introduction and makes all further tokens of the gateway with it. Replicas then
	// believe no other: a sealed introduction tells that the hub does not know it, not who made it.
	Kept bool `json:"kept,omitempty"`
}

const (
	pairingPrefix = "palette-pairing-1."
	secretSize    = 32
)

// String returns the token's text. It is a secret.
func (t PairingToken) String() string {
	text, err := json.Marshal(t) //nolint:gosec // The secret is what a token is for.
	if err != nil {
		panic(err) // strings and bytes: cannot fail
	}
	return pairingPrefix + base64.RawURLEncoding.EncodeToString(text)
}

// ParsePairingToken reads what String made; spaces around it, as of a file's last line, do not matter.
func ParsePairingToken(text string) (PairingToken, error) {
	var t PairingToken
	encoded, ok := strings.CutPrefix(strings.TrimSpace(text), pairingPrefix)
	if !ok {
		return t, fmt.Errorf("a pairing token begins with %s", pairingPrefix)
	}
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(raw, &t) != nil {
		return PairingToken{}, errors.New("the pairing token is damaged: copy it whole")
	}
	if uuid.Validate(t.ID) != nil || uuid.Validate(t.Gateway) != nil || len(t.Secret) != secretSize ||
		len(t.Pin) != sha256.Size || len(t.Introduction) != secretSize || !ValidProject(t.Project) {
		return PairingToken{}, errors.New("the pairing token is damaged: copy it whole")
	}
	return t, nil
}

// Vouch says of a key, for those who know the token and for nobody else, that the process paired with the token made it. By
// that the maker of the token knows the gateway's key from one that a hub would put in its place.
func (t PairingToken) Vouch(publicKey []byte) []byte {
	return vouch(t.Introduction, t.ID, 0, publicKey)
}

func vouch(introduction []byte, pairingID string, serial int, publicKey []byte) []byte {
	mac := hmac.New(sha256.New, introduction)
	if serial == 0 {
		mac.Write([]byte("palette/voucher/v1:" + pairingID + ":"))
	} else {
		mac.Write([]byte("palette/rotated/v1:" + pairingID + ":" + strconv.Itoa(serial) + ":"))
	}
	mac.Write(publicKey)
	return mac.Sum(nil)
}

// IntroductionBinding is what an introduction is sealed for.
func IntroductionBinding(project, gatewayID, pairingID string) seal.Binding {
	return seal.Binding{Purpose: seal.PurposeIntroduction, Project: project, Gateway: gatewayID, Object: pairingID}
}

// PairOptions say how a pairing token is made.
type PairOptions struct {
	// ID makes the call safe to repeat; "" is a new one.
	ID string
	// TTL is how long the token is good for; 0 is DefaultPairingTTL.
	TTL time.Duration
	// Introduction is shared by tokens that are made together for a gateway that has no key yet, so that whichever replica
	// comes first knows the others; nil is a new one.
	Introduction []byte
	// Kept is the token's: the caller keeps the introduction, and gives it with each further token of the gateway.
	Kept bool
	// Fingerprint is that of the gateway's key as it was seen before; another key is refused. "" is any.
	Fingerprint string
}

// NewSecret returns 32 random bytes.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	return secret
}

// Pair makes a pairing token for a process that is to become a replica of the gateway.
func (c *Client) Pair(ctx context.Context, gatewayID string, o PairOptions) (PairingToken, *Pairing, error) {
	gateway, err := c.Gateway(ctx, gatewayID)
	if err != nil {
		return PairingToken{}, nil, err
	}
	t := PairingToken{ID: o.ID, Gateway: gateway.ID, Project: c.project, Secret: NewSecret(), Introduction: o.Introduction, Kept: o.Kept}
	if t.ID == "" {
		t.ID = uuid.NewString()
	}
	if len(t.Introduction) == 0 {
		t.Introduction = NewSecret()
	}
	hash := sha256.Sum256(t.Secret)
	write := PairingWrite{SecretHash: hash[:], TTLSeconds: int(o.TTL.Seconds())}
	if o.TTL == 0 {
		write.TTLSeconds = int(DefaultPairingTTL.Seconds())
	}
	if err := t.knowKey(gateway, o.Fingerprint, &write); err != nil {
		return PairingToken{}, nil, err
	}
	if gateway.Spec.RecoveryKey != "" {
		digest := sha256.Sum256([]byte(gateway.Spec.RecoveryKey))
		t.Recovery = digest[:]
	}
	var p Pairing
	path := pathGateways + "/" + gateway.ID + "/pairings/" + t.ID
	if err := c.do(ctx, call{method: http.MethodPut, path: path, in: write}, &p); err != nil {
		return PairingToken{}, nil, err
	}
	t.Pin = p.Pin
	return t, &p, nil
}

// knowKey puts the gateway's key into the token: the one that was seen before, whatever the hub says now. A kept introduction
// is sealed to no key: replicas know it, and the key that the hub shows may be its own.
func (t *PairingToken) knowKey(gateway *Gateway, fingerprint string, write *PairingWrite) error {
	if t.Key = fingerprint; gateway.Status.PublicKey == "" {
		return nil
	}
	key, err := gateway.sealingKey(fingerprint)
	if err != nil {
		return err
	}
	t.Key = seal.Fingerprint(key)
	if t.Kept {
		return nil
	}
	write.Introduction, err = seal.Seal(key, IntroductionBinding(t.Project, gateway.ID, t.ID), t.Introduction)
	return err
}

// Pairing returns a pairing token as the hub knows it.
func (c *Client) Pairing(ctx context.Context, gatewayID, pairingID string) (*Pairing, error) {
	if err := checkID(gatewayID); err != nil {
		return nil, err
	}
	return get[Pairing](ctx, c, pathGateways+"/"+gatewayID+"/pairings", pairingID)
}
