package agent

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// DefaultDataDir is where a replica keeps its identity where nothing else is said.
const DefaultDataDir = "/var/lib/palette-gateway"

const (
	identityName = "identity.json"
	lockName     = "gateway.lock"
)

// ErrNotPaired is returned for a directory without an identity.
var ErrNotPaired = errors.New("no gateway has been paired here yet: run gateway pair")

// identity is all that a replica keeps: who it is, by what it knows the hub, and its keys. It is one file, so that it is
// always of one piece.
type identity struct {
	Hub     string `json:"hub"`
	Proxy   string `json:"proxy,omitempty"`
	OuterCA string `json:"outer_ca,omitempty"`

	Gateway     string `json:"gateway"`
	GatewayName string `json:"gateway_name"`
	Project     string `json:"project"`
	Replica     string `json:"replica"`
	Name        string `json:"name"`

	CA          string `json:"ca"`
	Certificate []byte `json:"certificate"`
	TLSKey      []byte `json:"tls_key"`
	IdentityKey []byte `json:"identity_key"`
	// SealingKey is the key that the gateway seals with, OldKeys are those before it, newest first.
	SealingKey []byte   `json:"sealing_key"`
	OldKeys    [][]byte `json:"old_keys,omitempty"`
	// Coming are new keys that the hub has not made the gateway's yet.
	Coming []comingKey `json:"coming,omitempty"`
	// Rotations are the last ones that led to the sealing key, for a hub that has lost them.
	Rotations []gatewayapi.Rotation `json:"rotations,omitempty"`
	// RecoveryKey is the organisation's public key as the pairing token named it.
	RecoveryKey string `json:"recovery_key,omitempty"`

	// Introductions are those of the tokens this replica knows of, until they expire.
	Introductions []introduction `json:"introductions,omitempty"`
	// InvitedOnly tells that the gateway's owner keeps the introduction: the key is shared with nobody who does not know it.
	InvitedOnly bool `json:"invited_only,omitempty"`
	// Used are the pairings that the gateway's key has been shared for, with the digest of the key it was sealed to.
	Used map[string]usedPairing `json:"used,omitempty"`
}

type introduction struct {
	Secret []byte `json:"secret"`
	// Expires is zero for one that the gateway's owner keeps.
	Expires time.Time `json:"expires,omitzero"`
}

func (i introduction) good(now time.Time) bool { return i.Expires.IsZero() || now.Before(i.Expires) }

type usedPairing struct {
	Transfer []byte    `json:"transfer"`
	At       time.Time `json:"at"`
}

// clone returns a copy that can be changed.
func (id identity) clone() identity {
	id.Introductions = slices.Clone(id.Introductions)
	id.Used = maps.Clone(id.Used)
	id.OldKeys, id.Coming, id.Rotations = slices.Clone(id.OldKeys), slices.Clone(id.Coming), slices.Clone(id.Rotations)
	return id
}

// certificate is what the replica shows to the hub.
func (id identity) certificate() (*tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(id.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("reading the replica's TLS key: %w", err)
	}
	leaf, err := x509.ParseCertificate(id.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the replica's certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{id.Certificate}, PrivateKey: key, Leaf: leaf}, nil
}

func (id identity) sealing() (*seal.PrivateKey, error) { return seal.ParsePrivateKey(id.SealingKey) }

func (id identity) signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(id.IdentityKey) }

// directory is where the identity is kept. One process at a time has it open.
type directory struct {
	path string
	lock *flock.Flock

	mu sync.Mutex
	id identity

	// rotating is held by whoever changes the sealing keys.
	rotating sync.Mutex
}

// openDirectory takes a directory for this process, making it if it is missing, and reads the identity if there is one. What
// is going to be replaced may be damaged.
func openDirectory(path string, replace bool) (_ *directory, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	if err := refuseOpen(path); err != nil {
		return nil, err
	}
	d := &directory{path: path, lock: flock.New(filepath.Join(path, lockName))}
	locked, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("another process uses %s: stop it first, two replicas need two directories", path)
	}
	if d.id, err = readIdentity(path); err != nil && !errors.Is(err, ErrNotPaired) && !replace {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *directory) close() error {
	if err := d.lock.Unlock(); err != nil {
		return fmt.Errorf("unlocking the data directory: %w", err)
	}
	return nil
}

// readIdentity reads the identity without taking the directory.
func readIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, identityName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return identity{}, ErrNotPaired
	}
	if err != nil {
		return identity{}, fmt.Errorf("reading the replica's identity: %w", err)
	}
	if err := refuseOpen(path); err != nil {
		return identity{}, err
	}
	var id identity
	if err := json.Unmarshal(text, &id); err != nil {
		return identity{}, fmt.Errorf("%s is damaged: restore it, or pair again with --replace", path)
	}
	if err := id.check(); err != nil {
		return identity{}, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return id, nil
}

// IsPaired tells whether there is a good identity in a data directory.
func IsPaired(dir string) bool {
	_, err := readIdentity(dir)
	return err == nil
}

func (id identity) check() error {
	if len(id.IdentityKey) != ed25519.SeedSize {
		return errors.New("it holds no identity key")
	}
	if _, err := id.certificate(); err != nil {
		return err
	}
	_, err := id.ring()
	return err
}

// refuseOpen refuses what others than its owner may read or change.
func refuseOpen(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", path, err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%s has mode %04o and holds keys: take it away from others with chmod go= %s",
			path, info.Mode().Perm(), path)
	}
	return nil
}

// identity returns the identity as it is now.
func (d *directory) identity() identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.id.clone()
}

func (d *directory) paired() bool { return d.identity().Replica != "" }

// change writes the identity whole or not at all; only then it counts.
func (d *directory) change(change func(*identity)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.id.clone()
	change(&next)
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encoding the replica's identity: %w", err)
	}
	if err := gateway.WriteWhole(filepath.Join(d.path, identityName), text); err != nil {
		return fmt.Errorf("keeping the replica's identity: %w", err)
	}
	d.id = next
	return nil
}

// forget removes the identity.
func (d *directory) forget() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Remove(filepath.Join(d.path, identityName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the replica's identity: %w", err)
	}
	d.id = identity{}
	return nil
}
