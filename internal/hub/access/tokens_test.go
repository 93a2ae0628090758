package access

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestTokenLife(t *testing.T) {
	clock, records := newClock(), openStore(t)
	tokens := NewTokens(records, clock.now)
	ctx := t.Context()
	made, text, err := tokens.Create(ctx, Token{Name: "ci", Project: "prod", Role: hubapi.RoleEditor}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	forever, foreverText, err := tokens.Create(ctx, Token{Name: "ci", Role: hubapi.RoleAdmin}, 0)
	if err != nil {
		t.Fatalf("two tokens may have one name: %v", err)
	}
	found, err := tokens.find(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, found, cmpopts.IgnoreUnexported(Token{})); diff != "" {
		t.Errorf("found another token (-made +found):\n%s", diff)
	}
	clock.advance(time.Hour)
	if _, err := tokens.find(ctx, text); !errors.Is(err, errUnauthorized) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired token: %v", err)
	}
	if _, err := tokens.find(ctx, foreverText); err != nil {
		t.Errorf("a token without an end: %v", err)
	}
	for range 2 {
		if _, err := tokens.Revoke(ctx, forever.ID); err != nil {
			t.Fatalf("revoking may be repeated: %v", err)
		}
	}
	if _, err := tokens.find(ctx, foreverText); !errors.Is(err, errUnauthorized) || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("a revoked token: %v", err)
	}
	if _, err := tokens.Revoke(ctx, "6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001"); !errors.Is(err, ErrNoToken) {
		t.Errorf("revoking nothing: %v", err)
	}
	all, err := tokens.List(ctx, "")
	if err != nil || len(all) != 2 || all[0].Usable(clock.now()) || all[1].Usable(clock.now()) {
		t.Errorf("listed %+v, %v", all, err)
	}
	if one, err := tokens.List(ctx, "prod"); err != nil || len(one) != 1 {
		t.Errorf("listed %+v, %v", one, err)
	}
}

// TestWhoDoesNotKnowTheSecretLearnsNothing: the answers for a token that is there and for one that is not are the same.
func TestWhoDoesNotKnowTheSecretLearnsNothing(t *testing.T) {
	clock, records := newClock(), openStore(t)
	tokens := NewTokens(records, clock.now)
	made, text, err := tokens.Create(t.Context(), Token{Project: "prod", Role: hubapi.RoleEditor}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Revoke(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	_, _, want := "", "", (*hubapi.Problem)(nil)
	if _, err := tokens.find(t.Context(), "palette_nonsense"); !errors.As(err, &want) {
		t.Fatal(err)
	}
	secret := strings.TrimPrefix(text, tokenPrefix+made.ID+"_")
	for reason, wrong := range map[string]string{
		"another secret":      tokenPrefix + made.ID + "_" + base64.RawURLEncoding.EncodeToString(make([]byte, secretSize)),
		"another id":          tokenPrefix + "6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001_" + secret,
		"no secret":           tokenPrefix + made.ID + "_",
		"cut off":             text[:len(text)-1],
		"longer":              text + "A",
		"upper case id":       tokenPrefix + strings.ToUpper(made.ID) + "_" + secret,
		"other form of id":    tokenPrefix + "{" + made.ID + "}_" + secret,
		"padding":             text + "=",
		"last bits changed":   text[:len(text)-1] + nextBase64(text[len(text)-1]),
		"newline":             text + "\n",
		"empty":               "",
		"prefix alone":        tokenPrefix,
		"id of another kind":  "palette-pairing-1.abc",
		"NUL":                 tokenPrefix + made.ID + "_\x00" + secret,
		"id and secret swapd": tokenPrefix + secret + "_" + made.ID,
	} {
		_, err := tokens.find(t.Context(), wrong)
		var got *hubapi.Problem
		if !errors.As(err, &got) {
			t.Errorf("%s: %v", reason, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s is told apart (-want +got):\n%s", reason, diff)
		}
	}
}

// nextBase64 changes the bits of a last character that a lenient decoder ignores.
func nextBase64(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^1])
}

func TestSecretIsNotKept(t *testing.T) {
	dir := t.TempDir()
	records, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	made, text, err := NewTokens(records, nil).Create(t.Context(), Token{Project: "prod", Role: hubapi.RoleViewer}, 0)
	if err != nil {
		t.Fatal(err)
	}
	encoded := strings.TrimPrefix(text, tokenPrefix+made.ID+"_")
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range [][]byte{raw, []byte(encoded), []byte(base64.StdEncoding.EncodeToString(raw)), []byte(text)} {
			if bytes.Contains(body, form) {
				t.Errorf("%s holds the secret", file)
			}
		}
	}
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCreateRefuses(t *testing.T) {
	tokens := NewTokens(openStore(t), nil)
	for reason, tc := range map[string]struct {
		token    Token
		lifetime time.Duration
	}{
		"no role":         {Token{Project: "a"}, 0},
		"odd role":        {Token{Project: "a", Role: "root"}, 0},
		"odd project":     {Token{Project: "../a", Role: hubapi.RoleViewer}, 0},
		"in the past":     {Token{Project: "a", Role: hubapi.RoleViewer}, -time.Second},
		"control in name": {Token{Project: "a", Role: hubapi.RoleViewer, Name: "a\nb"}, 0},
		"long name":       {Token{Project: "a", Role: hubapi.RoleViewer, Name: strings.Repeat("x", 129)}, 0},
	} {
		if _, text, err := tokens.Create(t.Context(), tc.token, tc.lifetime); err == nil || text != "" {
			t.Errorf("%s: made %q", reason, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	token := Token{}
	f.Add(token.mint())
	f.Add("palette_")
	f.Add("palette_6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001_")
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, ok := parse(text)
		if ok && tokenPrefix+id+"_"+base64.RawURLEncoding.EncodeToString(secret) != text {
			t.Errorf("%q is not the only form of its token", text)
		}
	})
}
