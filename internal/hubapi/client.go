package hubapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-retryablehttp"
)

// DefaultProject is the project used where none is configured.
const DefaultProject = "default"

var projectName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ValidProject tells whether a project may have the name: a DNS label in lower case.
func ValidProject(name string) bool { return projectName.MatchString(name) }

// Config is how a hub is reached. Transport is set where the hub is not reached by network, or is reached in a way of
// its own; else Endpoint and CACertificate say how.
type Config struct {
	// Endpoint is the hub's URL, such as "https://hub.example.com". It may be empty when Transport is set.
	Endpoint string
	// Token is sent as a bearer token, without white space around it; empty sends none.
	Token string
	// CACertificate is PEM that is believed beside the system's CAs. With a Transport it is only told to those who ask for
	// the Address.
	CACertificate string
	// Project is the project all calls are about; empty is DefaultProject.
	Project   string
	UserAgent string
	// Transport replaces the network, as in embedded mode.
	Transport http.RoundTripper
	// Embedded tells that the hub is part of this program, so that nobody else can reach it.
	Embedded bool
	// Log hears of every request and answer: method, path, status, attempt and request id; never bodies or secrets.
	Log func(ctx context.Context, msg string, fields map[string]any)
}

const (
	retryMax     = 6
	retryWaitMin = 100 * time.Millisecond
	retryWaitMax = 5 * time.Second

	// maxAnswer bounds an answer's body, in bytes: an inventory of 10,000 templates is a few MiB.
	maxAnswer = 64 << 20

	// embeddedEndpoint fills the URLs of a client with a transport of its own.
	embeddedEndpoint = "http://hub.embedded"
)

// Client speaks to a hub about one project. Requests that may be repeated are, with back-off, when the connection fails
// or the hub says that it will do better in a moment.
type Client struct {
	base      *url.URL
	token     string
	project   string
	userAgent string
	ca        string
	embedded  bool
	http      *retryablehttp.Client
}

// NewClient returns a client. It connects to nothing before it is used.
func NewClient(cfg Config) (*Client, error) {
	if cfg.Project == "" {
		cfg.Project = DefaultProject
	}
	if !ValidProject(cfg.Project) {
		return nil, fmt.Errorf("project %q: want 1 to 63 of a-z, 0-9 and -, not beginning or ending with -", cfg.Project)
	}
	base, err := baseURL(cfg)
	if err != nil {
		return nil, err
	}
	// A token that was read from a file has the end of its line with it.
	cfg.Token = strings.TrimSpace(cfg.Token)
	if !oneWord(cfg.Token) {
		return nil, errors.New("the token is not one word of letters, digits and punctuation")
	}
	transport := cfg.Transport
	if transport == nil {
		if transport, err = networkTransport(cfg.CACertificate); err != nil {
			return nil, err
		}
	}
	c := &Client{
		base: base, token: cfg.Token, project: cfg.Project, userAgent: cfg.UserAgent,
		ca: cfg.CACertificate, embedded: cfg.Embedded, http: retryablehttp.NewClient(),
	}
	c.http.HTTPClient = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.http.Logger = nil
	c.log(cfg.Log)
	c.http.RetryMax, c.http.RetryWaitMin, c.http.RetryWaitMax = retryMax, retryWaitMin, retryWaitMax
	c.http.CheckRetry = mayRetry
	c.http.Backoff = backoff
	c.http.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return c, nil
}

// log has requests and answers told to the function, which may be nil.
func (c *Client) log(tell func(context.Context, string, map[string]any)) {
	if tell == nil {
		return
	}
	c.http.RequestLogHook = func(_ retryablehttp.Logger, r *http.Request, attempt int) {
		tell(r.Context(), "hub request", map[string]any{
			"method": r.Method, "path": r.URL.Path, "attempt": attempt + 1, "request_id": r.Header.Get(HeaderRequestID),
		})
	}
	c.http.ResponseLogHook = func(_ retryablehttp.Logger, resp *http.Response) {
		r := resp.Request
		tell(r.Context(), "hub response", map[string]any{
			"method": r.Method, "path": r.URL.Path, "status": resp.StatusCode, "request_id": r.Header.Get(HeaderRequestID),
		})
	}
}

// baseURL checks the endpoint: what could carry a token over the network in the clear is refused.
func baseURL(cfg Config) (*url.URL, error) {
	if cfg.Endpoint == "" && cfg.Transport != nil {
		cfg.Endpoint = embeddedEndpoint
	}
	base, err := url.Parse(cfg.Endpoint)
	if err != nil || base.Host == "" {
		return nil, errors.New("endpoint is not a URL such as https://hub.example.com")
	}
	switch {
	case base.User != nil:
		return nil, errors.New("endpoint must not hold user or password")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("endpoint must not have a query or fragment")
	case base.Scheme == "https", base.Scheme == "http" && (cfg.Transport != nil || loopback(base.Hostname())):
		return base, nil
	default:
		return nil, errors.New("endpoint must be https; http is accepted for the own machine only")
	}
}

// oneWord tells whether a text has no white space and nothing but ASCII in it.
func oneWord(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func networkTransport(caCertificate string) (http.RoundTripper, error) {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the process has replaced the default transport")
	}
	transport := base.Clone()
	if caCertificate != "" {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM([]byte(caCertificate)) {
			return nil, errors.New("the hub's CA certificate holds no certificate in PEM form")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return transport, nil
}

// mayRetry repeats, for every call of this API does no harm when it is done twice: reads and previews change nothing, and
// writes name their object and say what should be. What is repeated is a failed connection and an answer that promises
// more for later; a gateway's own faults are final.
func mayRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		// The library knows which errors do not pass: certificates, schemes.
		again, _ := retryablehttp.DefaultRetryPolicy(ctx, nil, err)
		return again, nil
	}
	return passes(resp.StatusCode), nil
}

// passes tells whether an answer is of the kind that gets better by waiting.
func passes(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// backoff honours Retry-After and is exponential with full jitter otherwise.
func backoff(least, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if resp != nil && resp.Header.Get("Retry-After") != "" {
		return retryablehttp.DefaultBackoff(least, most, attempt, resp)
	}
	return rand.N(min(least<<min(attempt+1, 16), most)) + time.Millisecond //nolint:gosec // Jitter needs no secrecy.
}

// Address is the URL that the hub is reached at, and the certificates in PEM form that it is believed by besides the
// system's; "" is none.
func (c *Client) Address() (endpoint, caCertificate string) {
	return strings.TrimSuffix(c.base.String(), "/"), c.ca
}

// Embedded tells that the hub is part of this program: no gateway can reach it.
func (c *Client) Embedded() bool { return c.embedded }

// call is one call of the API.
type call struct {
	method string
	path   string // below the project
	root   string // instead of path, from the hub's root
	query  url.Values
	in     any
	opts   WriteOptions
}

// do sends a request and decodes its answer into out, unless that is nil.
func (c *Client) do(ctx context.Context, r call, out any) error {
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body := io.LimitReader(resp.Body, maxAnswer)
	if out == nil {
		_, err = io.Copy(io.Discard, body)
	} else {
		err = json.NewDecoder(body).Decode(out)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("asking the hub: %w", ctx.Err())
	}
	if err != nil {
		return Unreachable(fmt.Errorf("reading the hub's answer: %w", err))
	}
	return nil
}

// send returns the answer when it is a success; everything else is an error that holds a *Problem, unless ctx has
// ended.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("asking the hub: %w", ctx.Err())
		}
		return nil, c.unreachable(withoutURL(err))
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	p := DecodeProblem(resp)
	if p.RequestID == "" {
		p.RequestID = req.Header.Get(HeaderRequestID)
	}
	return nil, p
}

// unreachable is what a failed connection to the hub is to a caller.
func (c *Client) unreachable(cause error) error {
	err := unreachable(fmt.Errorf("asking the hub at %s: %w", c.base.Redacted(), cause))
	if !c.embedded {
		err.Hint = wayHint(cause)
	}
	return err
}

func (c *Client) newRequest(ctx context.Context, r call) (*retryablehttp.Request, error) {
	var body any
	if r.in != nil {
		text, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("encoding a request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	target := c.base.JoinPath("v1", "projects", url.PathEscape(c.project), r.path)
	if r.root != "" {
		target = c.base.JoinPath(r.root)
	}
	target.RawQuery = r.query.Encode()
	req, err := retryablehttp.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	r.opts.set(req.Header)
	if r.in != nil {
		req.Header.Set("Content-Type", contentJSON)
	}
	req.Header.Set("Accept", contentJSON)
	if c.userAgent != "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	id := RequestID(ctx)
	if id == "" {
		id = NewRequestID()
	}
	req.Header.Set(HeaderRequestID, id)
	return req, nil
}

// withoutURL drops the address that net/http puts before the cause: it is said already, and may hold what it should
// not.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// checkID refuses what cannot be an id before it becomes part of a path.
func checkID(id string) error {
	if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return NewProblem(CodeInvalid, "%q is not an id: ids are UUIDs", id)
	}
	return nil
}
