package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Embedded returns the way to the hub that this process carries, with its records in the given directory. It is
// asked on the first request, not before.
type Embedded func(ctx context.Context, dataDir string) (http.RoundTripper, error)

// transportFor returns the way to the hub that the settings ask for. It starts and dials nothing.
func transportFor(s settings, embedded Embedded) (http.RoundTripper, error) {
	switch {
	case len(s.Unknown) > 0:
		return unknownTransport(s.Unknown), nil
	case s.Endpoint == "":
		return logged{next: &embeddedTransport{dataDir: s.DataDir, open: embedded}}, nil
	}
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the process has replaced the default transport")
	}
	remote := base.Clone()
	if s.CACertificate != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(s.CACertificate)) {
			return nil, errBadCertificate
		}
		remote.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return logged{next: remote}, nil
}

// errBadCertificate is returned for a ca_certificate that holds none.
var errBadCertificate = errors.New("it holds no certificate in PEM form")

// unknownTransport answers every request by naming the attributes that keep it from being sent.
type unknownTransport []string

// RoundTrip implements http.RoundTripper.
func (u unknownTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	noun := "attribute"
	if len(u) > 1 {
		noun = "attributes"
	}
	p := hubapi.NewProblem(hubapi.CodeUnconfigured,
		"the provider's %s %s cannot be known until something else is applied, so the hub cannot be asked yet",
		noun, strings.Join(u, ", "))
	p.Status = http.StatusUnprocessableEntity // Nothing is gained by trying again.
	return answer(r, p.WithHint("set it to a value that is known at plan, set its PALETTE_ environment variable, "+
		"or apply what it comes from first, with -target"))
}

// embeddedTransport starts the embedded hub with the first request.
type embeddedTransport struct {
	dataDir string
	open    Embedded

	mu   sync.Mutex
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *embeddedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	next, err := t.started(r.Context())
	if err != nil {
		p := hubapi.NewProblem(hubapi.CodeInvalid, "the embedded hub could not be started in data_dir %s: %s", t.dataDir, err)
		return answer(r, p.WithHint("check that the directory can be written to, or set data_dir to another one"))
	}
	return next.RoundTrip(r)
}

func (t *embeddedTransport) started(ctx context.Context) (http.RoundTripper, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next != nil {
		return t.next, nil
	}
	if t.open == nil {
		return nil, errors.New("this build has no embedded hub")
	}
	next, err := t.open(ctx, t.dataDir)
	if err != nil {
		return nil, err
	}
	t.next = next
	return next, nil
}

// answer makes the answer that a hub would give with this problem. It is an answer and not a transport's error, because
// those are tried again.
func answer(r *http.Request, p *hubapi.Problem) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // a transport has to close it; nothing was read
	}
	body, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding a problem: %w", err)
	}
	return &http.Response{
		StatusCode: p.Status, Status: fmt.Sprintf("%d %s", p.Status, http.StatusText(p.Status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/problem+json"}},
		Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}, nil
}

// logged writes a debug line for each request: never a body, a header or a query, which may hold secrets.
type logged struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l logged) RoundTrip(r *http.Request) (*http.Response, error) {
	begin := time.Now()
	resp, err := l.next.RoundTrip(r)
	fields := map[string]any{
		"method":      r.Method,
		"path":        r.URL.Path,
		"duration_ms": time.Since(begin).Milliseconds(),
		"request_id":  r.Header.Get(hubapi.HeaderRequestID),
	}
	if err != nil {
		fields["error"] = err.Error()
		tflog.Debug(r.Context(), "hub did not answer", fields)
		return nil, err
	}
	fields["status"] = resp.StatusCode
	if id := resp.Header.Get(hubapi.HeaderRequestID); id != "" {
		fields["request_id"] = id
	}
	tflog.Debug(r.Context(), "hub answered", fields)
	return resp, nil
}
