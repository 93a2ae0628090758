// Package access owns who may enter a hub: API tokens, the identities that a CI system vouches for, and how often either
// may ask. It says who somebody is and what role they have; what a role may do is decided where the API's routes are.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// tokenPrefix makes a token known as one, to people and to scanners that look for secrets in the wrong place.
	tokenPrefix = "palette_"
	secretSize  = 32
)

// Token is an API token as the hub keeps it.
type Token struct {
	ID string
	// Name is what people call it; names need not differ.
	Name string
	// Project is the only project it is good for; "" is all.
	Project   string
	Role      hubapi.Role
	CreatedAt time.Time
	// ExpiresAt and RevokedAt are zero where they do not apply.
	ExpiresAt, RevokedAt time.Time

	hash [sha256.Size]byte
}

// Usable tells whether the token is good at the time.
func (t Token) Usable(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// mint makes a secret and returns the text that carries it: palette_<id>_<secret>.
func (t *Token) mint() string {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails
	t.ID, t.hash = uuid.NewString(), sha256.Sum256(secret)
	return tokenPrefix + t.ID + "_" + base64.RawURLEncoding.EncodeToString(secret)
}

// matches tells in constant time whether the secret is the token's. A hash without salt is enough: the secret is as
// random as a key.
func (t Token) matches(secret []byte) bool {
	hash := sha256.Sum256(secret)
	return subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1
}

// parse takes a token's text apart.
func parse(text string) (id string, secret []byte, ok bool) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return "", nil, false
	}
	id, encoded, ok := strings.Cut(rest, "_")
	if parsed, err := uuid.Parse(id); !ok || err != nil || parsed.String() != id {
		return "", nil, false
	}
	secret, err := base64.RawURLEncoding.DecodeString(encoded)
	// A token has one form only; the decoder takes others, too.
	return id, secret, err == nil && len(secret) == secretSize && base64.RawURLEncoding.EncodeToString(secret) == encoded
}
