package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// introductionLife is how long a replica knows the introduction of its own token. Tokens that were made together with it
// can be used that long.
const introductionLife = 24 * time.Hour

// PairConfig is what a pairing needs.
type PairConfig struct {
	// Hub is the hub's URL.
	Hub string
	// Token is the pairing token's text.
	Token string
	// Name is what people know the replica by.
	Name    string
	DataDir string
	// OuterCA are certificate authorities, in PEM, that the hub's URL is believed by; "" means the system's.
	OuterCA string
	// Proxy is the proxy to the hub, with credentials where it needs them; "" is what the environment says.
	Proxy string
	// Recovery is the organisation's recovery key, to make a gateway anew whose replicas are all lost.
	Recovery *seal.PrivateKey
	// Replace forgets the identity that is there.
	Replace bool
	Version string
}

// Paired says what came of a pairing.
type Paired struct {
	Gateway, GatewayName, Project, Replica string
	// Fingerprint is that of the gateway's sealing key.
	Fingerprint string
	// Recoverable tells that the key is kept sealed to the recovery key.
	Recoverable bool
}

// Pair makes this machine a replica of the gateway that the token was made for. The identity is on disk when it returns,
// and the token is of no more use.
func Pair(ctx context.Context, cfg PairConfig) (Paired, error) {
	token, err := hubapi.ParsePairingToken(cfg.Token)
	if err != nil {
		return Paired{}, err
	}
	dial, err := newDialer(cfg.Proxy, cfg.OuterCA, cfg.Version)
	if err != nil {
		return Paired{}, err
	}
	dir, err := openDirectory(cfg.DataDir, cfg.Replace)
	if err != nil {
		return Paired{}, err
	}
	defer func() { _ = dir.close() }()
	if dir.paired() && !cfg.Replace {
		id := dir.identity()
		return Paired{}, fmt.Errorf("%s is paired already, as replica %s of gateway %q: to start over, pair with --replace",
			cfg.DataDir, id.Replica, id.GatewayName)
	}
	p, err := newPairing(cfg, token, dir)
	if err != nil {
		return Paired{}, err
	}
	before := dir.identity()
	if err := p.enrol(ctx, way{url: cfg.Hub, dial: dial, inner: pinnedTLS(token.Pin)}); err != nil {
		return Paired{}, errors.Join(explained(err), p.undo(before))
	}
	return p.paired(), nil
}

const (
	// pairTries is how often a pairing is begun whose conversation is cut off.
	pairTries = 4
	pairPause = time.Second
)

// enrol asks the hub for the identity. When an answer is lost, the hub may have used the token up: it lets whoever used it
// come again with the same keys, which are on disk until it is decided.
func (p *pairing) enrol(ctx context.Context, w way) error {
	for try := 1; ; try++ {
		a := &applicant{
			signer: p.keys.signer(), take: p.take, fill: p.fill,
			blank: gatewayapi.Enrolment{Name: p.cfg.Name, Version: p.cfg.Version, CSR: p.csr},
		}
		err := a.enrol(ctx, w)
		if err == nil || a.decided() {
			return errors.Join(err, p.dir.forgetPending())
		}
		if !a.begun() || try == pairTries || ctx.Err() != nil {
			return err
		}
		pause(ctx, pairPause)
	}
}

// pairing is one pairing under way: its token and the keys that were made for it.
type pairing struct {
	cfg      PairConfig
	token    hubapi.PairingToken
	dir      *directory
	keys     pendingKeys
	csr      []byte
	transfer *seal.PrivateKey
	sealing  *seal.PrivateKey // the gateway's key, if this replica is its first
	grant    gatewayapi.Grant
	taken    gatewayapi.Taken
	kept     bool
}

func newPairing(cfg PairConfig, token hubapi.PairingToken, dir *directory) (*pairing, error) {
	p := &pairing{cfg: cfg, token: token, dir: dir}
	var err error
	if p.keys, err = dir.pending(token.ID); err != nil {
		return nil, err
	}
	if p.csr, err = requestFor(p.keys.TLSKey); err != nil {
		return nil, err
	}
	if p.transfer, err = seal.ParsePrivateKey(p.keys.Transfer); err != nil {
		return nil, err
	}
	if p.sealing, err = seal.ParsePrivateKey(p.keys.Sealing); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *pairing) fill(e *gatewayapi.Enrolment) {
	transfer, sealing := p.transfer.PublicKey(), p.sealing.PublicKey()
	e.Pairing = &gatewayapi.PairingProof{
		ID: p.token.ID, Secret: p.token.Secret, TransferKey: transfer,
		Invitation: gatewayapi.Invite(p.token.Introduction, p.token.ID, transfer),
		SealingKey: sealing, Voucher: p.token.Vouch(sealing),
	}
}

// take checks that the grant is what the token promises, and keeps it.
func (p *pairing) take(g gatewayapi.Grant) (gatewayapi.Taken, error) {
	if g.Gateway != p.token.Gateway || g.Project != p.token.Project || uuid.Validate(g.Replica) != nil {
		return gatewayapi.Taken{}, errors.New("it is for another gateway than the token")
	}
	believed := func(c *x509.Certificate) bool { return bytes.Equal(pinOf(c), p.token.Pin) }
	if err := checkGrant(g, p.keys.TLSKey, believed); err != nil {
		return gatewayapi.Taken{}, err
	}
	keys, err := p.gatewayKeys(g)
	if err != nil {
		return gatewayapi.Taken{}, err
	}
	taken := gatewayapi.Taken{SealingKey: keys[0].PublicKey()}
	if taken.Escrow, err = p.escrow(g, keys); err != nil {
		return gatewayapi.Taken{}, err
	}
	if err := p.keep(g, keys); err != nil {
		return gatewayapi.Taken{}, err
	}
	p.grant, p.taken, p.kept = g, taken, true
	return taken, nil
}

// gatewayKeys are the keys the gateway has from now on, newest first: what another replica has shared, what the recovery key
// opens, or, for the first replica, its own.
func (p *pairing) gatewayKeys(g gatewayapi.Grant) ([]*seal.PrivateKey, error) {
	keys := []*seal.PrivateKey{p.sealing}
	switch {
	case len(g.SealedKey) > 0:
		text, err := p.transfer.Open(gatewayapi.TransferBinding(g.Project, g.Gateway, p.token.ID), g.SealedKey)
		if err != nil {
			return nil, err
		}
		vouched, err := gatewayapi.VouchedKey(p.token.Introduction, p.token.ID, text)
		if err != nil {
			return nil, err
		}
		if keys, err = gatewayapi.SplitKeys(vouched); err != nil {
			return nil, err
		}
	case len(g.Escrow) > 0 && p.cfg.Recovery == nil:
		return nil, errors.New("the gateway had replicas and none of them can share the gateway's key: start one, " +
			"or pair with --recovery-key-file")
	case len(g.Escrow) > 0 && p.token.Key == "":
		// Anyone can seal to the recovery key, the hub included: only the fingerprint tells whose key it is.
		return nil, errors.New("the token was made for a gateway without a key, and the hub has one to recover: make a new token")
	case len(g.Escrow) > 0:
		text, err := p.cfg.Recovery.Open(gatewayapi.EscrowBinding(g.Project, g.Gateway), g.Escrow)
		if err != nil {
			return nil, fmt.Errorf("the recovery key does not open the gateway's key: %w", err)
		}
		if keys, err = gatewayapi.SplitKeys(text); err != nil {
			return nil, err
		}
	case p.cfg.Recovery != nil:
		return nil, errors.New("the hub keeps nothing that a recovery key could open: pair without --recovery-key-file " +
			"if the gateway is new")
	}
	// The token may have been made before the key was rotated. Whoever has that key too has the keys from the gateway.
	made := func(k *seal.PrivateKey) bool { return seal.Fingerprint(k.PublicKey()) == p.token.Key }
	if p.token.Key != "" && !slices.ContainsFunc(keys, made) {
		return nil, fmt.Errorf("the gateway's key is %s, and the token was made for %s: "+
			"the hub may be lying, or all replicas were lost and their key with them", seal.Fingerprint(keys[0].PublicKey()), p.token.Key)
	}
	return keys, nil
}

// escrow seals the gateway's keys to the recovery key, if the one who made the token wants it. A hub can neither drop that
// nor have it sealed to a key of its own.
func (p *pairing) escrow(g gatewayapi.Grant, keys []*seal.PrivateKey) ([]byte, error) {
	if len(p.token.Recovery) == 0 {
		if g.RecoveryKey != "" {
			return nil, errors.New("the hub asks for the gateway's key to be sealed to a recovery key that the token does not name: " +
				"make a new token if one was set since")
		}
		return nil, nil
	}
	if digest := sha256.Sum256([]byte(g.RecoveryKey)); !bytes.Equal(digest[:], p.token.Recovery) {
		return nil, errors.New("the hub's recovery key is not the one that the token names: " +
			"make a new token if it was changed since")
	}
	public, err := base64.StdEncoding.DecodeString(g.RecoveryKey)
	if err != nil {
		return nil, fmt.Errorf("reading the recovery key: %w", err)
	}
	private, err := keyBytes(keys)
	if err != nil {
		return nil, err
	}
	return seal.Seal(public, gatewayapi.EscrowBinding(g.Project, g.Gateway), bytes.Join(private, nil))
}

func (p *pairing) keep(g gatewayapi.Grant, keys []*seal.PrivateKey) error {
	private, err := keyBytes(keys)
	if err != nil {
		return err
	}
	now := time.Now()
	transfer := sha256.Sum256(p.transfer.PublicKey())
	invited := introduction{Secret: p.token.Introduction}
	if !p.token.Kept {
		invited.Expires = now.Add(introductionLife)
	}
	recoveryKey := ""
	if len(p.token.Recovery) > 0 {
		recoveryKey = g.RecoveryKey
	}
	return p.dir.change(func(id *identity) {
		*id = identity{
			Hub: p.cfg.Hub, Proxy: p.cfg.Proxy, OuterCA: p.cfg.OuterCA,
			Gateway: g.Gateway, GatewayName: g.GatewayName, Project: g.Project, Replica: g.Replica, Name: p.cfg.Name,
			CA: string(g.CA), Certificate: g.Certificate, TLSKey: p.keys.TLSKey,
			IdentityKey: p.keys.Identity, SealingKey: private[0], OldKeys: private[1:],
			Introductions: []introduction{invited}, InvitedOnly: p.token.Kept,
			RecoveryKey: recoveryKey,
			Used:        map[string]usedPairing{p.token.ID: {Transfer: transfer[:], At: now}},
		}
	})
}

// undo puts back what was there before a pairing that came to nothing.
func (p *pairing) undo(before identity) error {
	switch {
	case !p.kept:
		return nil
	case before.Replica == "":
		return p.dir.forget()
	default:
		return p.dir.change(func(id *identity) { *id = before })
	}
}

func (p *pairing) paired() Paired {
	return Paired{
		Gateway: p.grant.Gateway, GatewayName: p.grant.GatewayName, Project: p.grant.Project, Replica: p.grant.Replica,
		Fingerprint: seal.Fingerprint(p.taken.SealingKey), Recoverable: len(p.taken.Escrow) > 0,
	}
}
