package agent

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

const (
	// usedLife is how long a replica knows which pairings it has shared the key for; no token lives as long.
	usedLife = 90 * 24 * time.Hour
	maxUsed  = 1000
)

// introduce shares the gateway's keys with a new replica, if that shows that it was invited by the one who owns the gateway.
// The hub relays; it neither knows an introduction nor can it use one for another key than the invited one's.
func (a *agent) introduce(_ context.Context, i gatewayapi.Introduction) (gatewayapi.Introduced, error) {
	if uuid.Validate(i.PairingID) != nil {
		return gatewayapi.Introduced{}, hubapi.NewProblem(hubapi.CodeInvalid, "the pairing's id is no UUID")
	}
	id := a.dir.identity()
	secret, ok := invited(id, a.ring, i, a.now())
	if !ok {
		a.log.Warn("introduction refused", "pairing_id", i.PairingID)
		return gatewayapi.Introduced{}, hubapi.NewProblem(hubapi.CodeForbidden,
			"the gateway does not know who invited this replica").
			WithHint("Make a new pairing token and pair with that one.")
	}
	if err := a.use(i); err != nil {
		return gatewayapi.Introduced{}, err
	}
	sealed, err := seal.Seal(i.TransferKey, gatewayapi.TransferBinding(id.Project, id.Gateway, i.PairingID),
		gatewayapi.VouchKey(secret, i.PairingID, id.allKeys()))
	if err != nil {
		return gatewayapi.Introduced{}, hubapi.NewProblem(hubapi.CodeInvalid, "the transfer key is no sealing key")
	}
	a.log.Info("gateway key shared with a new replica", "pairing_id", i.PairingID)
	return gatewayapi.Introduced{SealedKey: sealed}, nil
}

// invited finds the introduction that the invitation was made with: one this replica knows, or the sealed one. Anyone can
// seal, the hub included, so that a sealed one counts only where the gateway's owner keeps none.
func invited(id identity, key *seal.Ring, i gatewayapi.Introduction, now time.Time) ([]byte, bool) {
	var known [][]byte
	for _, in := range id.Introductions {
		if in.good(now) {
			known = append(known, in.Secret)
		}
	}
	if len(i.Sealed) > 0 && !id.InvitedOnly {
		if secret, err := key.Open(hubapi.IntroductionBinding(id.Project, id.Gateway, i.PairingID), i.Sealed); err == nil {
			known = append(known, secret)
		}
	}
	for _, secret := range known {
		if hmac.Equal(i.Invitation, gatewayapi.Invite(secret, i.PairingID, i.TransferKey)) {
			return secret, true
		}
	}
	return nil, false
}

// use notes that a pairing has been used. A hub that has lost the answer may ask again for the same key, and for no other.
func (a *agent) use(i gatewayapi.Introduction) error {
	transfer := sha256.Sum256(i.TransferKey)
	now := a.now()
	spent := false
	err := a.dir.change(func(id *identity) {
		if used, ok := id.Used[i.PairingID]; ok {
			spent = !bytes.Equal(used.Transfer, transfer[:])
			return
		}
		if id.Used == nil {
			id.Used = map[string]usedPairing{}
		}
		forgetOld(id, now)
		id.Used[i.PairingID] = usedPairing{Transfer: transfer[:], At: now}
	})
	if err != nil {
		return err
	}
	if spent {
		return hubapi.NewProblem(hubapi.CodeForbidden, "the pairing token has been used").
			WithHint("Make a new pairing token and pair with that one.")
	}
	return nil
}

func forgetOld(id *identity, now time.Time) {
	for pairing, used := range id.Used {
		if now.Sub(used.At) > usedLife || len(id.Used) >= maxUsed {
			delete(id.Used, pairing)
		}
	}
	id.Introductions = slices.DeleteFunc(id.Introductions, func(in introduction) bool { return !in.good(now) })
}
