package gatewayapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// PathKeys is where a hub and a replica agree on the gateway's key.
const PathKeys = "/v1/keys"

// Rotation puts a new sealing key in the place of a gateway's old one. The hub keeps and relays it: it can neither read it
// nor make one.
type Rotation struct {
	// From and To are the public halves of the old key and the new one.
	From []byte `json:"from"`
	To   []byte `json:"to"`
	// Sealed is the private half of the new key, sealed to the old one by its owner.
	Sealed []byte `json:"sealed"`
	// Voucher tells the gateway's owner that the new key is the gateway's; nil where the owner keeps no introduction.
	Voucher *hubapi.KeyVoucher `json:"voucher,omitempty"`
	// Escrow is all keys sealed to the recovery key, which is RecoveryKey; empty where there is none.
	RecoveryKey string `json:"recovery_key,omitempty"`
	Escrow      []byte `json:"escrow,omitempty"`
}

// KeysWord is what a hub says to a replica of the gateway's keys.
type KeysWord struct {
	// Key is the public half of the key that the hub knows as the gateway's.
	Key []byte `json:"key"`
	// Done are rotations that the hub has kept, oldest first: the key that they lead to is the gateway's.
	Done []Rotation `json:"done,omitempty"`
	// Next is one that it is about to keep: what is sealed to its key has to be opened from now on.
	Next *Rotation `json:"next,omitempty"`
}

// KeysAnswer is what a replica answers.
type KeysAnswer struct {
	// Key is the public half of the key that it seals to.
	Key []byte `json:"key"`
	// Rotations are those it knows that come after the hub's key.
	Rotations []Rotation `json:"rotations,omitempty"`
}

// errForgedRotation is returned for a rotation that the owner of the old key has not made.
var errForgedRotation = errors.New("the new key does not come from one who has the old one")

func rotationBinding(project, gatewayID string, to []byte) seal.Binding {
	return seal.Binding{Purpose: seal.PurposeRotation, Project: project, Gateway: gatewayID, Object: seal.Fingerprint(to)}
}

// NewRotation seals a new key to the old one, with a proof that the owner of the old one has done so.
func NewRotation(project, gatewayID string, from, to *seal.PrivateKey) (Rotation, error) {
	private, err := to.Bytes()
	if err != nil {
		return Rotation{}, err
	}
	r := Rotation{From: from.PublicKey(), To: to.PublicKey()}
	r.Sealed, err = from.SealOwn(rotationBinding(project, gatewayID, r.To), private)
	return r, err
}

// Open returns the new key, unless somebody has made the rotation who does not have the old one.
func (r Rotation) Open(project, gatewayID string, from *seal.PrivateKey) (*seal.PrivateKey, error) {
	private, own, err := from.OpenOwn(rotationBinding(project, gatewayID, r.To), r.Sealed)
	if err != nil {
		return nil, err
	}
	if !own {
		return nil, errForgedRotation
	}
	key, err := seal.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	if string(key.PublicKey()) != string(r.To) {
		return nil, errForgedRotation
	}
	return key, nil
}

// SplitKeys takes apart a gateway's private keys that were written one after the other, the newest first.
func SplitKeys(text []byte) ([]*seal.PrivateKey, error) {
	if len(text) == 0 || len(text)%seal.PrivateKeySize != 0 {
		return nil, errors.New("these are no gateway keys")
	}
	var keys []*seal.PrivateKey
	for ; len(text) > 0; text = text[seal.PrivateKeySize:] {
		key, err := seal.ParsePrivateKey(text[:seal.PrivateKeySize])
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Keys tells a replica of the gateway's keys, and asks which it has.
func (c *Client) Keys(ctx context.Context, w KeysWord) (KeysAnswer, error) {
	var answer KeysAnswer
	err := c.do(ctx, http.MethodPost, PathKeys, w, &answer)
	return answer, err
}
