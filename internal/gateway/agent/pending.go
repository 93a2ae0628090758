package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// pendingName is the file of the keys of a pairing that is not decided.
const pendingName = "pairing.json"

// pendingKeys are the keys that a replica is being paired with. A process that is killed in the middle goes on with them.
type pendingKeys struct {
	Pairing  string `json:"pairing"`
	Identity []byte `json:"identity"`
	TLSKey   []byte `json:"tls_key"`
	Transfer []byte `json:"transfer"`
	Sealing  []byte `json:"sealing"`
}

func (k pendingKeys) signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.Identity) }

// pending returns the keys for a pairing, making them unless it has been begun before.
func (d *directory) pending(pairing string) (pendingKeys, error) {
	path := filepath.Join(d.path, pendingName)
	var keys pendingKeys
	text, err := os.ReadFile(path)
	if err == nil && json.Unmarshal(text, &keys) == nil && keys.Pairing == pairing && len(keys.Identity) == ed25519.SeedSize {
		return keys, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return pendingKeys{}, fmt.Errorf("reading the keys of a pairing: %w", err)
	}
	if keys, err = newPendingKeys(pairing); err != nil {
		return pendingKeys{}, err
	}
	if text, err = json.Marshal(keys); err != nil {
		return pendingKeys{}, fmt.Errorf("encoding the keys of a pairing: %w", err)
	}
	if err := gateway.WriteWhole(path, text); err != nil {
		return pendingKeys{}, fmt.Errorf("keeping the keys of a pairing: %w", err)
	}
	return keys, nil
}

func newPendingKeys(pairing string) (pendingKeys, error) {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return pendingKeys{}, fmt.Errorf("making an identity key: %w", err)
	}
	keys := pendingKeys{Pairing: pairing, Identity: signer.Seed()}
	if keys.TLSKey, _, err = newTLSKey(); err != nil {
		return pendingKeys{}, err
	}
	for _, into := range []*[]byte{&keys.Transfer, &keys.Sealing} {
		key, err := seal.NewPrivateKey()
		if err != nil {
			return pendingKeys{}, err
		}
		if *into, err = key.Bytes(); err != nil {
			return pendingKeys{}, err
		}
	}
	return keys, nil
}

func (d *directory) forgetPending() error {
	if err := os.Remove(filepath.Join(d.path, pendingName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the keys of a pairing: %w", err)
	}
	return nil
}

// explained adds to an error what to do about it.
func explained(err error) error {
	var hint string
	switch {
	case errors.Is(err, tunnel.ErrOuterCertificate):
		hint = "give the authority of the hub's certificate, or of the proxy that inspects TLS, with --ca-file"
	case errors.Is(err, tunnel.ErrInnerCertificate):
		hint = "what answers there is not the hub that made the token: check --hub, and who is in between"
	case errors.Is(err, tunnel.ErrProxyAuth):
		hint = "give the proxy with its credentials: --proxy http://user:password@proxy:3128"
	case errors.Is(err, tunnel.ErrProxy):
		hint = "the proxy has to let CONNECT to the hub pass"
	default:
		return err
	}
	return fmt.Errorf("%w: %s", err, hint)
}
