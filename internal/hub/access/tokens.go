package access

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// ErrNoToken tells that there is no such token.
var ErrNoToken = errors.New("no such token")

// Tokens are the API tokens in a hub's records. What one process changes, all hubs on these records know at once.
type Tokens struct {
	records store.Records
	now     func() time.Time
}

// NewTokens returns the tokens in the records. A nil clock is the system's.
func NewTokens(records store.Records, now func() time.Time) *Tokens {
	if now == nil {
		now = time.Now
	}
	return &Tokens{records: records, now: now}
}

// tokenSpec and tokenStatus are what a record holds of a token.
type tokenSpec struct {
	Name      string      `json:"name"`
	Role      hubapi.Role `json:"role"`
	ExpiresAt *time.Time  `json:"expires_at,omitempty"`
	// SecretHash is the SHA-256 of the secret.
	SecretHash []byte `json:"secret_hash"`
}

type tokenStatus struct {
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
}

// Create keeps a new token and returns the text that carries its secret, which nobody can read again. The token's id is
// made here; a lifetime of 0 is for ever.
func (t *Tokens) Create(ctx context.Context, token Token, lifetime time.Duration) (Token, string, error) {
	if err := check(token, lifetime); err != nil {
		return Token{}, "", err
	}
	text := token.mint()
	token.CreatedAt = t.now().UTC()
	spec := tokenSpec{Name: token.Name, Role: token.Role, SecretHash: token.hash[:]}
	if lifetime > 0 {
		token.ExpiresAt = token.CreatedAt.Add(lifetime)
		spec.ExpiresAt = &token.ExpiresAt
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return Token{}, "", fmt.Errorf("encoding a token: %w", err)
	}
	// The store wants names to differ, people need not: the record's name is the id.
	record := &store.Record{
		Kind: store.KindToken, ID: token.ID, Project: token.Project, Name: token.ID,
		SpecJSON: body, StatusJSON: []byte("{}"), Generation: 1, LastGeneration: 1, CreatedAt: token.CreatedAt,
	}
	if err := t.records.Commit(ctx, store.Batch{Put: []*store.Record{record}}); err != nil {
		return Token{}, "", fmt.Errorf("keeping a token: %w", err)
	}
	return token, text, nil
}

const maxTokenName = 128

func check(token Token, lifetime time.Duration) error {
	switch {
	case !token.Role.Valid():
		return fmt.Errorf("there is no role %q: want viewer, editor or admin", token.Role)
	case token.Project != "" && !hubapi.ValidProject(token.Project):
		return fmt.Errorf("%q is not the name of a project", token.Project)
	case lifetime < 0:
		return errors.New("a token cannot have expired before it is made")
	case utf8.RuneCountInString(token.Name) > maxTokenName || !utf8.ValidString(token.Name) ||
		strings.ContainsFunc(token.Name, unicode.IsControl):
		return fmt.Errorf("a token's name has at most %d characters, none of them a control character", maxTokenName)
	}
	return nil
}

// List returns the tokens of a project, oldest first; "" is all.
func (t *Tokens) List(ctx context.Context, project string) ([]Token, error) {
	records, err := t.records.List(ctx, store.KindToken, store.Filter{Project: project})
	if err != nil {
		return nil, fmt.Errorf("listing tokens: %w", err)
	}
	tokens := make([]Token, 0, len(records))
	for _, r := range records {
		token, err := decode(r)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	slices.SortFunc(tokens, func(a, b Token) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return tokens, nil
}

// Revoke makes a token useless from now on. It is kept, so that the audit log's entries of it can be understood.
func (t *Tokens) Revoke(ctx context.Context, id string) (Token, error) {
	r, err := t.record(ctx, id)
	if err != nil {
		return Token{}, err
	}
	token, err := decode(r)
	if err != nil || !token.RevokedAt.IsZero() {
		return token, err
	}
	token.RevokedAt = t.now().UTC()
	if r.StatusJSON, err = json.Marshal(tokenStatus{RevokedAt: &token.RevokedAt}); err != nil {
		return Token{}, fmt.Errorf("encoding a token: %w", err)
	}
	if err := t.records.Commit(ctx, store.Batch{Put: []*store.Record{r}}); err != nil {
		return Token{}, fmt.Errorf("revoking a token: %w", err)
	}
	return token, nil
}

// record returns a token's record, or ErrNoToken.
func (t *Tokens) record(ctx context.Context, id string) (*store.Record, error) {
	r, err := t.records.Get(ctx, store.KindToken, id)
	if errors.Is(err, store.ErrNoRecord) {
		return nil, fmt.Errorf("%w: %s", ErrNoToken, id)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	return r, nil
}

func (t *Tokens) get(ctx context.Context, id string) (Token, error) {
	r, err := t.record(ctx, id)
	if err != nil {
		return Token{}, err
	}
	return decode(r)
}

// find returns the token that a text carries. Who does not know the secret learns nothing of the token, not even that
// it is there; who does is told what is wrong with it. The error is a *hubapi.Problem unless the records do not answer.
func (t *Tokens) find(ctx context.Context, text string) (Token, error) {
	unknown := hubapi.NewProblem(hubapi.CodeUnauthorized, "the token is not one of this hub's").
		WithHint("See that it was copied whole, and that it is for this hub: hub token list shows what there is.")
	id, secret, ok := parse(text)
	if !ok {
		return Token{}, unknown
	}
	token, err := t.get(ctx, id)
	switch {
	case errors.Is(err, ErrNoToken):
		return Token{}, unknown
	case err != nil:
		return Token{}, err
	case !token.matches(secret):
		return Token{}, unknown
	case !token.RevokedAt.IsZero():
		return Token{}, hubapi.NewProblem(hubapi.CodeUnauthorized, "token %s has been revoked", token.ID)
	case !token.Usable(t.now()):
		return Token{}, hubapi.NewProblem(hubapi.CodeUnauthorized, "token %s expired at %s",
			token.ID, token.ExpiresAt.UTC().Format(time.RFC3339)).WithHint("Make a new one: hub token create.")
	}
	return token, nil
}

func decode(r *store.Record) (Token, error) {
	var spec tokenSpec
	var status tokenStatus
	if err := json.Unmarshal(r.SpecJSON, &spec); err != nil {
		return Token{}, fmt.Errorf("decoding token %s: %w", r.ID, err)
	}
	if err := json.Unmarshal(r.StatusJSON, &status); err != nil {
		return Token{}, fmt.Errorf("decoding token %s: %w", r.ID, err)
	}
	token := Token{ID: r.ID, Name: spec.Name, Project: r.Project, Role: spec.Role, CreatedAt: r.CreatedAt}
	if len(spec.SecretHash) != len(token.hash) || !spec.Role.Valid() {
		return Token{}, fmt.Errorf("token %s is damaged", r.ID)
	}
	copy(token.hash[:], spec.SecretHash)
	if spec.ExpiresAt != nil {
		token.ExpiresAt = *spec.ExpiresAt
	}
	if status.RevokedAt != nil {
		token.RevokedAt = *status.RevokedAt
	}
	return token, nil
}
