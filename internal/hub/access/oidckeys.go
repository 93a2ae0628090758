package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	// keysFresh is how long an issuer's keys are used without asking for them again, keysStale how long while the issuer
	// does not answer. A key that the issuer has withdrawn is believed no longer than that.
	keysFresh = time.Hour
	keysStale = 24 * time.Hour
	// keysPause is the least time between two questions: anybody can send tokens that name a key nobody has.
	keysPause = 10 * time.Second
	// keysTimeout and maxKeys bound a question and its answer.
	keysTimeout = 10 * time.Second
	maxKeys     = 1 << 20
	// minRSA is the least size of an RSA key, in bits.
	minRSA = 2048
)

// keySet is the keys of one issuer.
type keySet struct {
	issuer string
	url    string // of the key set; "" is found by discovery
	client *http.Client
	now    func() time.Time

	asking singleflight.Group

	mu      sync.Mutex
	keys    map[string]any
	fetched time.Time
	tried   time.Time
	failed  error // of the last question
}

var (
	errNoKey = errors.New("the issuer has no such key")
	// errNoAnswer tells that the issuer's keys are not known at the moment.
	errNoAnswer = errors.New("the issuer does not answer")
)

// key returns the public key with the id, and asks the issuer where that is needed.
func (k *keySet) key(ctx context.Context, id string) (any, error) {
	key, fresh, mayAsk := k.cached(id)
	if key != nil && fresh {
		return key, nil
	}
	if mayAsk {
		// The question is shared by all who wait for it, so it does not end with the first one's patience.
		done := k.asking.DoChan("", func() (any, error) { return nil, k.refresh(context.WithoutCancel(ctx)) })
		select {
		case <-done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := k.now().Sub(k.fetched); age > keysStale || k.keys == nil {
		return nil, errors.Join(errNoAnswer, k.failed)
	}
	if key, ok := k.keys[id]; ok {
		return key, nil
	}
	return nil, errNoKey
}

func (k *keySet) cached(id string) (key any, fresh, mayAsk bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	return k.keys[id], now.Sub(k.fetched) < keysFresh, now.Sub(k.tried) >= keysPause
}

// refresh asks the issuer for its keys.
func (k *keySet) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	keys, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.failed = k.now(), err
	if err == nil {
		k.keys, k.fetched = keys, k.tried
	}
	return err
}

func (k *keySet) fetch(ctx context.Context) (map[string]any, error) {
	from := k.url
	if from == "" {
		var document struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		discovery := strings.TrimSuffix(k.issuer, "/") + "/.well-known/openid-configuration"
		if err := k.get(ctx, discovery, &document); err != nil {
			return nil, err
		}
		if document.Issuer != k.issuer {
			return nil, fmt.Errorf("%s is about the issuer %q", discovery, document.Issuer)
		}
		if err := checkURL(document.JWKSURI); err != nil {
			return nil, fmt.Errorf("%s has a jwks_uri that is not usable: %w", discovery, err)
		}
		from = document.JWKSURI
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, from, &set); err != nil {
		return nil, err
	}
	keys := map[string]any{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// Keys of kinds that are not known here belong to other uses of the set.
		if json.Unmarshal(raw, &key) == nil && signs(key) {
			keys[key.KeyID] = key.Key
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key that can be used", from)
	}
	return keys, nil
}

// signs tells whether it is a key for the algorithms that are accepted.
func signs(key jose.JSONWebKey) bool {
	if key.KeyID == "" || (key.Use != "" && key.Use != "sig") {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}

func (k *keySet) get(ctx context.Context, from string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return fmt.Errorf("asking an issuer: %w", err)
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return fmt.Errorf("asking an issuer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", from, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeys))
	if err != nil {
		return fmt.Errorf("reading from %s: %w", from, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading from %s: %w", from, err)
	}
	return nil
}

// checkURL lets https only through: keys that came in the clear prove nothing.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not an https URL", text)
	}
	return nil
}

// issuerClient reaches an issuer; the file holds CAs that are believed beside the system's.
func issuerClient(caFile string) (*http.Client, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("reading ca_file: %w", err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost:   1,
			IdleConnTimeout:       time.Minute,
			ResponseHeaderTimeout: keysTimeout,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 {
				return errors.New("too many redirects")
			}
			return checkURL(r.URL.String())
		},
	}, nil
}
