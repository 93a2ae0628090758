package agent

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

const (
	rotatePath = "/rotate-key"
	// maxRotations bounds those that are kept for a hub that has lost them.
	maxRotations = 64
)

// comingKey is a new sealing key. What is sealed to it is opened already; nothing is sealed to it until the hub has kept the
// rotation, from which every other replica can learn it.
type comingKey struct {
	Key      []byte              `json:"key"`
	Rotation gatewayapi.Rotation `json:"rotation"`
}

// RotatedKey is what came of RotateKey.
type RotatedKey struct {
	// From is the fingerprint of the gateway's key, To that of the one that comes in its place.
	From string `json:"from"`
	To   string `json:"to"`
	// Vouched tells that the owner of the gateway knows the new key for the gateway's by itself.
	Vouched bool `json:"vouched"`
	// Running tells that a process has it and offers it to the hub.
	Running bool `json:"running"`
}

// RotateKey makes a new sealing key for the gateway of a data directory, whether or not its process runs. The key is in use
// once the hub has relayed it to the other replicas.
func RotateKey(ctx context.Context, path string) (RotatedKey, error) {
	if _, err := readIdentity(path); err != nil {
		return RotatedKey{}, err
	}
	text, err := ask(ctx, path, http.MethodPost, rotatePath)
	if errors.Is(err, errNotRunning) {
		return rotateStopped(path)
	}
	if err != nil {
		return RotatedKey{}, err
	}
	var answer struct {
		RotatedKey

		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return RotatedKey{}, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	if answer.To == "" {
		return RotatedKey{}, fmt.Errorf("the gateway made no new key: %s", answer.Detail)
	}
	return answer.RotatedKey, nil
}

func rotateStopped(path string) (RotatedKey, error) {
	dir, err := openDirectory(path, false)
	if err != nil {
		return RotatedKey{}, err
	}
	rotated, err := dir.rotate()
	return rotated, errors.Join(err, dir.close())
}

// rotateKey is RotateKey of the process that runs.
func (a *agent) rotateKey() (RotatedKey, error) {
	rotated, err := a.dir.rotate()
	if err != nil {
		return rotated, err
	}
	rotated.Running = true
	a.log.Info("new gateway key made", "from", rotated.From, "to", rotated.To, "vouched", rotated.Vouched)
	return rotated, a.reload()
}

// rotate makes a new key and keeps it as one that comes.
func (d *directory) rotate() (RotatedKey, error) {
	d.rotating.Lock()
	defer d.rotating.Unlock()
	id := d.identity()
	if len(id.Coming) > 0 {
		return RotatedKey{}, hubapi.NewProblem(hubapi.CodeConflict, "a new key, %s, waits for the hub to keep it",
			seal.Fingerprint(id.Coming[0].Rotation.To))
	}
	next, err := id.newKey()
	if err != nil {
		return RotatedKey{}, err
	}
	if err := d.change(func(id *identity) { id.Coming = []comingKey{next} }); err != nil {
		return RotatedKey{}, err
	}
	r := next.Rotation
	return RotatedKey{From: seal.Fingerprint(r.From), To: seal.Fingerprint(r.To), Vouched: r.Voucher != nil}, nil
}

// newKey makes a key that can come in the place of the one that is used: sealed to that one for the other replicas, vouched
// for to the owner who keeps the introduction, and in escrow with all others.
func (id identity) newKey() (comingKey, error) {
	from, err := id.sealing()
	if err != nil {
		return comingKey{}, err
	}
	to, err := seal.NewPrivateKey()
	if err != nil {
		return comingKey{}, err
	}
	next := comingKey{}
	if next.Key, err = to.Bytes(); err != nil {
		return next, err
	}
	if next.Rotation, err = gatewayapi.NewRotation(id.Project, id.Gateway, from, to); err != nil {
		return next, err
	}
	for _, in := range id.Introductions {
		if in.Expires.IsZero() {
			next.Rotation.Voucher = hubapi.VouchRotated(in.Secret, len(id.OldKeys)+1, to.PublicKey())
		}
	}
	if id.RecoveryKey == "" {
		return next, nil
	}
	public, err := base64.StdEncoding.DecodeString(id.RecoveryKey)
	if err != nil {
		return next, fmt.Errorf("reading the recovery key: %w", err)
	}
	next.Rotation.RecoveryKey = id.RecoveryKey
	all := append(bytes.Clone(next.Key), id.allKeys()...)
	next.Rotation.Escrow, err = seal.Seal(public, gatewayapi.EscrowBinding(id.Project, id.Gateway), all)
	return next, err
}

// keys takes what the hub says of the gateway's keys, and answers which this replica has. What does not follow from the key
// that is used is passed over: a rotation that is repeated or that led elsewhere changes nothing.
func (a *agent) keys(_ context.Context, w gatewayapi.KeysWord) (gatewayapi.KeysAnswer, error) {
	if len(w.Done) > 0 || w.Next != nil {
		if err := a.takeKeys(w); err != nil {
			a.log.Warn("gateway key refused", "error", err)
			return gatewayapi.KeysAnswer{}, hubapi.NewProblem(hubapi.CodeUntrusted, "the gateway does not take this key: %s", err)
		}
	}
	id := a.dir.identity()
	return gatewayapi.KeysAnswer{Key: a.ring.PublicKey(), Rotations: id.rotationsAfter(w.Key)}, nil
}

func (a *agent) takeKeys(w gatewayapi.KeysWord) error {
	a.dir.rotating.Lock()
	defer a.dir.rotating.Unlock()
	next := a.dir.identity()
	before, err := next.sealing()
	if err != nil {
		return err
	}
	changed := false
	for _, r := range w.Done {
		did, err := next.follow(r)
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if w.Next != nil {
		did, err := next.expect(*w.Next)
		if err != nil {
			return err
		}
		changed = changed || did
	}
	if !changed {
		return nil
	}
	err = a.dir.change(func(id *identity) {
		id.SealingKey, id.OldKeys, id.Coming, id.Rotations = next.SealingKey, next.OldKeys, next.Coming, next.Rotations
	})
	if err != nil {
		return err
	}
	if err := a.reload(); err != nil {
		return err
	}
	if now := a.ring.PublicKey(); !bytes.Equal(now, before.PublicKey()) {
		a.log.Info("gateway key rotated", "from", seal.Fingerprint(before.PublicKey()), "to", seal.Fingerprint(now))
	}
	return nil
}

// opened returns the new key of a rotation that starts from the key that is used; nil for another one.
func (id *identity) opened(r gatewayapi.Rotation) ([]byte, error) {
	from, err := id.sealing()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(from.PublicKey(), r.From) {
		return nil, nil
	}
	key, err := r.Open(id.Project, id.Gateway, from)
	if err != nil {
		return nil, err
	}
	return key.Bytes()
}

// follow seals with the rotation's key from now on. There is no way back to an older one.
func (id *identity) follow(r gatewayapi.Rotation) (bool, error) {
	key, err := id.opened(r)
	if key == nil || err != nil {
		return false, err
	}
	id.OldKeys = slices.Insert(id.OldKeys, 0, id.SealingKey)
	id.SealingKey, id.Coming = key, nil
	id.Rotations = append(id.Rotations, r)
	if extra := len(id.Rotations) - maxRotations; extra > 0 {
		id.Rotations = id.Rotations[extra:]
	}
	return true, nil
}

// expect opens what is sealed to the rotation's key from now on.
func (id *identity) expect(r gatewayapi.Rotation) (bool, error) {
	if slices.ContainsFunc(id.Coming, func(c comingKey) bool { return bytes.Equal(c.Rotation.To, r.To) }) {
		return false, nil
	}
	key, err := id.opened(r)
	if key == nil || err != nil {
		return false, err
	}
	id.Coming = append(id.Coming, comingKey{Key: key, Rotation: r})
	return true, nil
}

// rotationsAfter are those that lead on from a key, and those that may.
func (id *identity) rotationsAfter(key []byte) []gatewayapi.Rotation {
	var after []gatewayapi.Rotation
	for _, r := range id.Rotations {
		if len(after) > 0 || bytes.Equal(r.From, key) {
			after = append(after, r)
		}
	}
	for _, c := range id.Coming {
		after = append(after, c.Rotation)
	}
	return after
}

// allKeys are the private keys of the gateway, newest first.
func (id identity) allKeys() []byte {
	return append(bytes.Clone(id.SealingKey), bytes.Join(id.OldKeys, nil)...)
}

// ring are the keys that open what was sealed to the gateway; the first one is sealed with.
func (id identity) ring() (*seal.Ring, error) {
	keys, err := gatewayapi.SplitKeys(id.allKeys())
	if err != nil {
		return nil, err
	}
	for _, c := range id.Coming {
		key, err := seal.ParsePrivateKey(c.Key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return seal.NewRing(keys[0], keys[1:]...), nil
}

// reload makes the keys that are on disk those of the process.
func (a *agent) reload() error {
	ring, err := a.dir.identity().ring()
	if err != nil {
		return err
	}
	a.ring.Follow(ring)
	return nil
}

func keyBytes(keys []*seal.PrivateKey) ([][]byte, error) {
	var all [][]byte
	for _, key := range keys {
		b, err := key.Bytes()
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}
