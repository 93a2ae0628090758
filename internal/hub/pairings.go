package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const (
	// maxPairingTTL is the longest that a pairing token is good for.
	maxPairingTTL = 7 * 24 * time.Hour
	// pairingKept is how long a token is remembered after its end, so that whoever comes with it hears why it is refused.
	pairingKept = 7 * 24 * time.Hour
	// maxPairings bounds the tokens of one gateway that are remembered.
	maxPairings = 100
	// maxIntroduction bounds a sealed introduction, in bytes.
	maxIntroduction = 8 << 10
)

func (h *Hub) pairingOf(p *roster.Pairing) hubapi.Pairing {
	return hubapi.Pairing{
		ID: p.ID, GatewayID: p.Spec.Gateway, ExpiresAt: p.Spec.ExpiresAt, UsedAt: p.Status.UsedAt, Pin: h.pin,
	}
}

// loadPairing returns a pairing token of the gateway; of another one it does not exist.
func (h *Hub) loadPairing(ctx context.Context, project, gateway, id string) (*roster.Pairing, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if _, err := h.loadGateway(ctx, project, gateway); err != nil {
		return nil, err
	}
	p, err := roster.LoadPairing(ctx, h.store, id)
	if errors.Is(err, store.ErrNoRecord) || (err == nil && (p.Project != project || p.Spec.Gateway != gateway)) {
		return nil, notFound("gateway %s has no pairing token %s", gateway, id)
	}
	return p, err
}

func (h *Hub) getPairing(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	p, err := h.loadPairing(r.Context(), project, r.PathValue("id"), r.PathValue("pairing"))
	if err != nil {
		return answer{}, err
	}
	return answer{body: h.pairingOf(p)}, nil
}

// putPairing keeps what a token is known by. The same token may be announced again, with another secret, until it is used.
func (h *Hub) putPairing(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx, gateway, id := r.Context(), r.PathValue("id"), r.PathValue("pairing")
	var body hubapi.PairingWrite
	if err := hubapi.ReadJSON(w, r, &body); err != nil {
		return answer{}, err
	}
	if len(h.pin) == 0 {
		return answer{}, invalid("", "this hub takes no gateways of their own")
	}
	ttl := time.Duration(body.TTLSeconds) * time.Second
	switch {
	case len(body.SecretHash) != sha256.Size:
		return answer{}, invalid("/secret_hash", "is not a SHA-256")
	case body.TTLSeconds <= 0 || body.TTLSeconds > int(maxPairingTTL.Seconds()):
		return answer{}, invalid("/ttl_seconds", "a pairing token is good for 1 second to %s", maxPairingTTL)
	case len(body.Introduction) > maxIntroduction:
		return answer{}, invalid("/introduction", "is larger than %d bytes", maxIntroduction)
	}
	old, err := h.loadPairing(ctx, project, gateway, id)
	if err != nil && !errors.Is(err, hubapi.ErrNotFound) {
		return answer{}, err
	}
	if old == nil {
		if err := h.makeRoom(ctx, project, gateway); err != nil {
			return answer{}, err
		}
		old = roster.NewPairing(project, id, roster.PairingSpec{}, h.now())
	}
	if old.Status.UsedAt != nil {
		return answer{}, hubapi.NewProblem(hubapi.CodeAlreadyExists, "pairing token %s was used at %s",
			id, old.Status.UsedAt.Format(time.RFC3339)).WithHint("Make a new one.")
	}
	created := old.Revision == 0
	old.Spec = roster.PairingSpec{
		Gateway: gateway, SecretHash: body.SecretHash, Introduction: body.Introduction,
		ExpiresAt: h.now().Add(ttl).UTC().Truncate(time.Second),
	}
	record, err := old.Encode()
	if err != nil {
		return answer{}, err
	}
	if err := h.store.Commit(ctx, store.Batch{Put: []*store.Record{record}}); err != nil {
		return answer{}, err
	}
	return answer{status: statusOf(created), body: h.pairingOf(old)}, nil
}

// makeRoom forgets tokens of the gateway whose end is long past, and refuses when there are too many left.
func (h *Hub) makeRoom(ctx context.Context, project, gateway string) error {
	if _, err := h.loadGateway(ctx, project, gateway); err != nil {
		return err
	}
	all, err := roster.Pairings(ctx, h.store, store.Filter{Project: project})
	if err != nil {
		return err
	}
	count := 0
	var old []*store.Record
	for _, p := range all {
		switch {
		case h.now().Sub(p.Spec.ExpiresAt) > pairingKept:
			old = append(old, p.Record)
		case p.Spec.Gateway == gateway:
			count++
		}
	}
	if count >= maxPairings {
		return hubapi.NewProblem(hubapi.CodeRateLimited, "gateway %s has %d pairing tokens already", gateway, count).
			WithHint("Tokens are forgotten a week after their end.")
	}
	if len(old) == 0 {
		return nil
	}
	err = h.store.Commit(ctx, store.Batch{Remove: old})
	if errors.Is(err, store.ErrStale) {
		return nil // somebody else is at it
	}
	return err
}
