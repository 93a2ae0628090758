package hubapi_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6a0001"

// script is a transport that answers from a list; the last answer repeats.
type script struct {
	mu      sync.Mutex
	answers []func(*http.Request) (*http.Response, error)
	asked   []*http.Request
	bodies  []string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	answer := s.answers[min(len(s.asked), len(s.answers)-1)]
	s.asked, s.bodies = append(s.asked, r), append(s.bodies, body)
	resp, err := answer(r)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

func answer(status int, contentType, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {contentType}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

func problem(status int, code hubapi.Code) func(*http.Request) (*http.Response, error) {
	return answer(status, "application/problem+json", fmt.Sprintf(`{"status":%d,"code":%q,"detail":"why","hint":"what"}`, status, code))
}

func lost(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }

func newClient(t *testing.T, rt http.RoundTripper) *hubapi.Client {
	t.Helper()
	c, err := hubapi.NewClient(hubapi.Config{Transport: rt, Token: "s3cret", UserAgent: "test/1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRetries(t *testing.T) {
	ok := answer(200, "application/json", `{"id":"`+id+`"}`)
	get := func(ctx context.Context, c *hubapi.Client) error { _, err := c.Cluster(ctx, id); return err }
	put := func(ctx context.Context, c *hubapi.Client) error {
		_, err := c.PutCluster(ctx, id, hubapi.ClusterWrite{Spec: hubapi.ClusterSpec{Name: "prod"}}, hubapi.WriteOptions{Create: true})
		return err
	}
	remove := func(ctx context.Context, c *hubapi.Client) error { return c.DeleteCluster(ctx, id) }
	post := func(ctx context.Context, c *hubapi.Client) error { _, err := c.RefreshCluster(ctx, id); return err }
	for name, tc := range map[string]struct {
		reason  string
		call    func(context.Context, *hubapi.Client) error
		answers []func(*http.Request) (*http.Response, error)
		asked   int
		code    hubapi.Code
		cause   error
	}{
		"get, lost": {
			"a read may be repeated", get,
			[]func(*http.Request) (*http.Response, error){lost, ok},
			2, "", nil,
		},
		"put, lost": {
			"a write that names its object may be repeated", put,
			[]func(*http.Request) (*http.Response, error){lost, lost, ok},
			3, "", nil,
		},
		"delete, bad gateway": {
			"a proxy's trouble passes", remove,
			[]func(*http.Request) (*http.Response, error){answer(502, "text/html", "<html>"), answer(204, "", "")},
			2, "", nil,
		},
		"post, lost": {
			"a preview changes nothing and may be repeated", post,
			[]func(*http.Request) (*http.Response, error){lost, ok},
			2, "", nil,
		},
		"post, unavailable": {
			"a gateway that is away may come back", post,
			[]func(*http.Request) (*http.Response, error){problem(503, hubapi.CodeUnreachable), ok},
			2, "", nil,
		},
		"get, too many": {
			"waits and asks again", get,
			[]func(*http.Request) (*http.Response, error){problem(429, hubapi.CodeRateLimited), ok},
			2, "", nil,
		},
		"get, dependency": {
			"the vCenter is away: the gateway has tried", get,
			[]func(*http.Request) (*http.Response, error){problem(424, hubapi.CodeUnreachable)},
			1, hubapi.CodeUnreachable, nil,
		},
		"put, refused": {
			"a refusal is final", put,
			[]func(*http.Request) (*http.Response, error){problem(422, hubapi.CodeCredentials)},
			1, hubapi.CodeCredentials, nil,
		},
		"put, internal": {
			"what broke once is not tried again", put,
			[]func(*http.Request) (*http.Response, error){problem(500, hubapi.CodeInternal)},
			1, hubapi.CodeInternal, nil,
		},
		"get, never there": {
			"the last answer's body survives", get,
			[]func(*http.Request) (*http.Response, error){problem(503, hubapi.CodeBusy)},
			7, hubapi.CodeBusy, nil,
		},
		"get, always lost": {
			"the cause survives", get,
			[]func(*http.Request) (*http.Response, error){lost},
			7, hubapi.CodeUnreachable, io.ErrUnexpectedEOF,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tc.answers}
				err := tc.call(t.Context(), newClient(t, s))
				if len(s.asked) != tc.asked {
					t.Errorf("%s: asked %d times, want %d", tc.reason, len(s.asked), tc.asked)
				}
				var code hubapi.Code
				if p, ok := errors.AsType[*hubapi.Problem](err); ok {
					code = p.Code
				} else if err != nil {
					t.Fatalf("not a problem: %v", err)
				}
				if code != tc.code || (tc.cause != nil && !errors.Is(err, tc.cause)) {
					t.Errorf("%s: got %v, want code %q and cause %v", tc.reason, err, tc.code, tc.cause)
				}
				for _, body := range s.bodies {
					if body != s.bodies[0] {
						t.Errorf("bodies differ: %q", s.bodies)
					}
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){
			answer(503, "text/plain", "restarting", "Retry-After", "42"), answer(200, "application/json", "{}"),
		}}
		began := time.Now()
		if _, err := newClient(t, s).Cluster(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 42*time.Second {
			t.Errorf("waited %s, want 42s", waited)
		}
	})
}

func TestContextEndsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s := &script{answers: []func(*http.Request) (*http.Response, error){answer(503, "text/plain", "", "Retry-After", "60")}}
		if _, err := newClient(t, s).Cluster(ctx, id); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestRequest(t *testing.T) {
	s := &script{answers: []func(*http.Request) (*http.Response, error){answer(200, "application/json", `{"items":[]}`)}}
	var logged strings.Builder
	c, err := hubapi.NewClient(hubapi.Config{
		Transport: s, Token: "s3cret", UserAgent: "test/1", Project: "team-a",
		Log: func(_ context.Context, msg string, fields map[string]any) { fmt.Fprintln(&logged, msg, fields) },
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PutCloudAccount(hubapi.WithRequestID(t.Context(), "req-1"), id, hubapi.CloudAccountWrite{
		Name: "prod", SealedPassword: []byte("hush"), Spec: hubapi.CloudAccountSpec{Username: "somebody"},
	}, hubapi.WriteOptions{IfGeneration: 5})
	if err != nil {
		t.Fatal(err)
	}
	r := s.asked[0]
	got := map[string]string{"path": r.URL.Path, "method": r.Method}
	for _, h := range []string{"Authorization", "If-Match", "If-None-Match", "User-Agent", "X-Request-Id"} {
		got[h] = r.Header.Get(h)
	}
	want := map[string]string{
		"path": "/v1/projects/team-a/cloud-accounts/" + id, "method": "PUT", "Authorization": "Bearer s3cret",
		"If-Match": `"g5"`, "If-None-Match": "", "User-Agent": "test/1", "X-Request-Id": "req-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	for _, secret := range []string{"s3cret", "hush", "aHVzaA", "somebody"} {
		if strings.Contains(logged.String(), secret) {
			t.Errorf("%q was logged: %s", secret, &logged)
		}
	}
	if !strings.Contains(logged.String(), "req-1") {
		t.Errorf("the request was not logged: %s", &logged)
	}
	if _, err := c.ClusterByName(t.Context(), "a&b=c"); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("an empty list: %v", err)
	}
	if q := s.asked[1].URL.RawQuery; q != "name=a%26b%3Dc" {
		t.Errorf("query is %q", q)
	}
}

func TestIDsNeverBecomePaths(t *testing.T) {
	s := &script{answers: []func(*http.Request) (*http.Response, error){answer(200, "application/json", "{}")}}
	c := newClient(t, s)
	for _, bad := range []string{"", ".", "..", "../gateways/system", id + "/events", "{" + id + "}", "a b"} {
		_, getErr := c.Cluster(t.Context(), bad)
		_, putErr := c.PutIPPool(t.Context(), bad, hubapi.IPPoolWrite{}, hubapi.WriteOptions{})
		_, inventoryErr := c.Inventory(t.Context(), bad, hubapi.InventoryQuery{Kind: hubapi.KindFolders})
		for _, err := range []error{
			getErr, putErr, inventoryErr, c.DeleteCloudAccount(t.Context(), bad), c.WatchCluster(t.Context(), bad, 0, nil),
		} {
			if p, ok := errors.AsType[*hubapi.Problem](err); !ok || p.Code != hubapi.CodeInvalid {
				t.Errorf("id %q: %v", bad, err)
			}
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("asked for %s", s.asked[0].URL)
	}
}

func TestNewClientRefuses(t *testing.T) {
	for reason, cfg := range map[string]hubapi.Config{
		"no endpoint":                    {},
		"no URL":                         {Endpoint: "hub.example.com"},
		"a token over plain http":        {Endpoint: "http://hub.example.com"},
		"credentials in the URL":         {Endpoint: "https://me:pw@hub.example.com"},
		"a query":                        {Endpoint: "https://hub.example.com?x=1"},
		"a project that is no DNS label": {Endpoint: "https://hub.example.com", Project: "../x"},
		"a CA that is none":              {Endpoint: "https://hub.example.com", CACertificate: "x"},
		"a token that is two lines":      {Endpoint: "https://hub.example.com", Token: "pw\nx"},
	} {
		if _, err := hubapi.NewClient(cfg); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%s: %v", reason, err)
		}
	}
	for _, endpoint := range []string{"https://hub.example.com/base/", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"} {
		if _, err := hubapi.NewClient(hubapi.Config{Endpoint: endpoint}); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}

// TestTokenFromAFile: a file's last line ends with a newline, which no header may have.
func TestTokenFromAFile(t *testing.T) {
	s := &script{answers: []func(*http.Request) (*http.Response, error){answer(200, "application/json", `{"items":[]}`)}}
	c, err := hubapi.NewClient(hubapi.Config{Transport: s, Token: " s3cret\r\n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.ClusterByName(t.Context(), "prod"); !errors.Is(err, hubapi.ErrNotFound) {
		t.Fatal(err)
	}
	if got := s.asked[0].Header.Get("Authorization"); got != "Bearer s3cret" {
		t.Errorf("sent was %q", got)
	}
}

// TestUnreachableHubSaysWhatToDo: what is wrong with the way to the hub is for the person to put right.
func TestUnreachableHubSaysWhatToDo(t *testing.T) {
	for reason, c := range map[string]struct {
		err      error
		hint     string
		embedded bool
	}{
		"the authority is not known": {
			err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, hint: "ca_certificate",
		},
		"the certificate has other names": {
			err:  &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "hub"}},
			hint: "endpoint",
		},
		"the certificate has expired": {
			err: &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, hint: "clock",
		},
		"the name is not known":  {err: &net.DNSError{Err: "no such host", Name: "hub", IsNotFound: true}, hint: "endpoint"},
		"nobody listens":         {err: syscall.ECONNREFUSED, hint: "endpoint"},
		"the provider's own hub": {err: syscall.ECONNREFUSED, embedded: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			failed := func(*http.Request) (*http.Response, error) { return nil, c.err }
			client, err := hubapi.NewClient(hubapi.Config{
				Embedded:  c.embedded,
				Transport: &script{answers: []func(*http.Request) (*http.Response, error){failed}},
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.ClusterByName(t.Context(), "prod")
			p, ok := errors.AsType[*hubapi.Problem](err)
			if !ok || !errors.Is(err, c.err) || !strings.Contains(p.Hint, c.hint) || (p.Hint == "") != (c.hint == "") {
				t.Errorf("%s: %v, and the hint is %q", reason, err, p.Hint)
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, err := hubapi.NewClient(hubapi.Config{Endpoint: server.URL, Token: "s3cret", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Cluster(t.Context(), id); err == nil || elsewhere.Load() != 0 {
		t.Errorf("got %v; the other server was asked %d times", err, elsewhere.Load())
	}
}

func event(seq int) string { return fmt.Sprintf(`{"seq":%d,"message":"m%d"}`+"\n", seq, seq) }

func TestWatch(t *testing.T) {
	stream := func(lines ...string) func(*http.Request) (*http.Response, error) {
		return answer(200, hubapi.ContentEvents, strings.Join(lines, ""))
	}
	mine := errors.New("mine")
	for name, tc := range map[string]struct {
		reason  string
		answers []func(*http.Request) (*http.Response, error)
		stopAt  int64
		stop    error
		seen    []int64
		afters  []string
		want    error
	}{
		"stopped": {
			"ErrStop ends well",
			[]func(*http.Request) (*http.Response, error){stream("\n", event(4), event(5), event(6))},
			5, hubapi.ErrStop,
			[]int64{4, 5},
			[]string{"3"},
			nil,
		},
		"failed": {
			"the function's error is returned",
			[]func(*http.Request) (*http.Response, error){stream(event(4))},
			4, mine,
			[]int64{4},
			[]string{"3"},
			mine,
		},
		"failed with a problem that would pass": {
			"the function's error is never taken for the stream's",
			[]func(*http.Request) (*http.Response, error){stream(event(4))},
			4, hubapi.NewProblem(hubapi.CodeUnreachable, "mine"),
			[]int64{4},
			[]string{"3"},
			&hubapi.Problem{Code: hubapi.CodeUnreachable},
		},
		"resumed": {
			"goes on from the last event, whatever broke",
			[]func(*http.Request) (*http.Response, error){
				stream(event(4)), lost, problem(503, hubapi.CodeUnreachable), stream("{bro"), stream(event(4), event(5)),
			},
			5, hubapi.ErrStop,
			[]int64{4, 5},
			[]string{"3", "4", "4", "4", "4"},
			nil,
		},
		"refused": {
			"a problem that does not pass ends it",
			[]func(*http.Request) (*http.Response, error){problem(404, hubapi.CodeNotFound)},
			0, nil, nil,
			[]string{"3"},
			hubapi.ErrNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tc.answers}
				var seen []int64
				err := newClient(t, s).WatchCluster(t.Context(), id, 3, func(e hubapi.Event) error {
					seen = append(seen, e.Seq)
					if e.Seq == tc.stopAt {
						return tc.stop
					}
					return nil
				})
				if !errors.Is(err, tc.want) {
					t.Errorf("%s: got %v, want %v", tc.reason, err, tc.want)
				}
				var afters []string
				for _, r := range s.asked {
					afters = append(afters, r.URL.Query().Get("after"))
				}
				if diff := cmp.Diff(tc.seen, seen); diff != "" {
					t.Errorf("%s: events (-want +got):\n%s", tc.reason, diff)
				}
				if diff := cmp.Diff(tc.afters, afters); diff != "" {
					t.Errorf("%s: cursors (-want +got):\n%s", tc.reason, diff)
				}
			})
		})
	}
}

// silent is a body that says nothing until it is closed or the request's context ends.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s silent) Close() error             { return nil }

func TestWatchNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){
			func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Body: silent{r.Context()}}, nil
			},
			answer(200, hubapi.ContentEvents, event(1)),
		}}
		began := time.Now()
		err := newClient(t, s).WatchCluster(t.Context(), id, 0, func(hubapi.Event) error { return hubapi.ErrStop })
		if waited := time.Since(began); err != nil || waited < 15*time.Second || waited > 2*time.Minute {
			t.Errorf("got %v after %s", err, waited)
		}
	})
}

func TestWatchEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s := &script{answers: []func(*http.Request) (*http.Response, error){lost}}
		err := newClient(t, s).WatchCluster(ctx, id, 0, func(hubapi.Event) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestWatchTellsThatTheHubIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){answer(200, hubapi.ContentEvents, event(1))}}
		for range 20 { // longer than one request is repeated
			s.answers = append(s.answers, lost)
		}
		s.answers = append(s.answers, answer(200, hubapi.ContentEvents, event(1)+event(2)))
		var seen []string
		err := newClient(t, s).WatchCluster(t.Context(), id, 0, func(e hubapi.Event) error {
			message, _, _ := strings.Cut(e.Message, ",")
			seen = append(seen, fmt.Sprintf("%d %s", e.Seq, message))
			if e.Seq == 2 {
				return hubapi.ErrStop
			}
			return nil
		})
		want := []string{"1 m1", "0 the hub cannot be reached", "0 the hub answers again", "2 m2"}
		if diff := cmp.Diff(want, seen); err != nil || diff != "" {
			t.Errorf("%v; events (-want +got):\n%s", err, diff)
		}
	})
}
