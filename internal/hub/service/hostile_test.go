package service_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/access"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

// generous lets a test ask as often as it likes.
func generous(c *service.Config) {
	c.Limits = access.Limits{PerSecond: 1e6, Burst: 1e6, FailuresPerMinute: 6e7, FailureBurst: 1e6}
}

// wire is a connection on which anything can be said.
func wire(tb testing.TB, h *hubtest.Hub) net.Conn {
	tb.Helper()
	var conn net.Conn
	var err error
	if h.CA == "" {
		conn, err = net.Dial("tcp", h.Addresses.Hub)
	} else {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(h.CA))
		conn, err = tls.Dial("tcp", h.Addresses.Hub, &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
	}
	if err != nil {
		tb.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// wellFormed tells what is wrong with an answer: each is JSON, and each refusal a problem, but for what net/http refuses
// before anybody has read the request.
func wellFormed(resp *http.Response, body []byte) error {
	if resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusRequestHeaderFieldsTooLarge ||
		resp.StatusCode == http.StatusHTTPVersionNotSupported || resp.StatusCode == http.StatusNotImplemented ||
		resp.StatusCode == http.StatusExpectationFailed {
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || len(body) == 0 {
			return nil
		}
	}
	if resp.StatusCode < 400 {
		return nil
	}
	var p hubapi.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" || p.RequestID == "" || p.Status != resp.StatusCode {
		return fmt.Errorf("%d %.300q is no problem document: %w", resp.StatusCode, body, err)
	}
	if resp.StatusCode == http.StatusInternalServerError {
		return errors.New("it is the hub's fault")
	}
	return nil
}

func TestHostileRequests(t *testing.T) {
	h := hubtest.Start(t, generous)
	token := h.Token("prod", hubapi.RoleAdmin)
	head := func(method, path, more string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer " + token + "\r\n" + more + "\r\n"
	}
	put := "/v1/projects/prod/clusters/" + uuid.NewString()
	chunked := "Transfer-Encoding: chunked\r\n"
	for reason, tc := range map[string]struct {
		send   string
		status int // 0 is that the connection is closed without an answer
	}{
		"headers over the limit":     {head("GET", "/v1/projects/prod/clusters", "X-Long: "+strings.Repeat("a", 80<<10)+"\r\n"), 431},
		"path over the limit":        {head("GET", "/"+strings.Repeat("a", 80<<10), ""), 431},
		"a long path":                {head("GET", "/"+strings.Repeat("a", 8<<10), ""), 404},
		"body that ends early":       {head("PUT", put, "Content-Length: 10\r\n") + "{", 400},
		"body over the limit":        {head("PUT", put, "Content-Length: 5000000\r\n") + strings.Repeat(" ", 5000000), 413},
		"chunks over the limit":      {head("PUT", put, chunked) + "4c4b40\r\n" + strings.Repeat(" ", 5000000) + "\r\n0\r\n\r\n", 413},
		"a broken chunk":             {head("PUT", put, chunked) + "zz\r\n{}\r\n0\r\n\r\n", 400},
		"two lengths":                {head("PUT", put, "Content-Length: 2\r\nContent-Length: 3\r\n") + "{}", 400},
		"length and chunks":          {head("PUT", put, "Content-Length: 2\r\n"+chunked) + "2\r\n{}\r\n0\r\n\r\n", 404},
		"binary body":                {head("PUT", put, "Content-Length: 4\r\n") + "\x00\xff\xfe\x01", 400},
		"deep JSON":                  {head("PUT", put, "Content-Length: 200000\r\n") + strings.Repeat("[", 200000), 400},
		"NUL in a path":              {head("GET", "/v1/projects/prod/clusters/%00", ""), 422},
		"newline in an id":           {head("GET", "/v1/projects/prod/clusters/a%0d%0aX-Evil:%20yes", ""), 422},
		"escape sequence in a name":  {head("GET", "/v1/projects/prod/clusters?name=%1b%5b31m", ""), 200},
		"another method":             {head("PATCH", put, ""), 404},
		"a method nobody knows":      {head("BREW", put, ""), 404},
		"trace":                      {head("TRACE", "/v1/projects/prod/clusters", ""), 404},
		"connect":                    {head("CONNECT", "vcenter:443", ""), 404},
		"an absolute URL":            {head("GET", "http://169.254.169.254/latest/meta-data", ""), 404},
		"an asterisk":                {head("GET", "*", ""), 404},
		"HTTP/1.0":                   {"GET /healthz HTTP/1.0\r\n\r\n", 200},
		"no host":                    {"GET /healthz HTTP/1.1\r\n\r\n", 400},
		"HTTP/9":                     {"GET /healthz HTTP/9.9\r\nHost: hub\r\n\r\n", 505},
		"not HTTP":                   {"\x16\x03\x01\x00\xff\x00\x00\r\n\r\n", 400},
		"expect what nobody can":     {head("PUT", put, "Expect: the-spanish-inquisition\r\nContent-Length: 2\r\n") + "{}", 417},
		"upgrade to something":       {head("GET", "/v1/projects/prod/clusters", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), 200},
		"header that splits":         {head("GET", "/v1/projects/prod/clusters", "X-Request-Id: a\rb\r\n"), 400},
		"a trailer after everything": {head("PUT", put, chunked+"Trailer: Authorization\r\n") + "2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n", 404},
	} {
		t.Run(reason, func(t *testing.T) {
			conn := wire(t, h)
			defer func() { _ = conn.Close() }()
			go func() {
				_, _ = io.WriteString(conn, tc.send) // the hub may hang up before it has read all of it
				if strings.Contains(reason, "early") {
					_ = conn.(*tls.Conn).CloseWrite()
				}
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodGet})
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tc.status {
				t.Errorf("answered %d %.200q, want %d", resp.StatusCode, body, tc.status)
			}
			if err := wellFormed(resp, body); err != nil {
				t.Error(err)
			}
			if resp.Header.Get("X-Evil") != "" {
				t.Error("a header was smuggled in")
			}
		})
	}
}

// TestSlowClientsHoldNobodyUp: connections that say nothing, or stop in the middle, do not keep others from being served.
func TestSlowClientsHoldNobodyUp(t *testing.T) {
	h := hubtest.Start(t, generous)
	token := h.Token("prod", hubapi.RoleEditor)
	for i := range 200 {
		conn := wire(t, h)
		defer func() { _ = conn.Close() }()
		if i%2 == 0 {
			continue
		}
		_, _ = fmt.Fprintf(conn, "PUT /v1/projects/prod/clusters/%s HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{",
			uuid.NewString(), token)
	}
	client := browser(t, h)
	began := time.Now()
	if resp := h.Get(client, "/v1/projects/prod/clusters", token); resp.StatusCode != http.StatusOK {
		t.Errorf("answered %d %s", resp.StatusCode, read(t, resp))
	} else {
		read(t, resp)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("an honest request took %s", took)
	}
}

func TestRateLimitOverTheWire(t *testing.T) {
	h := hubtest.Start(t, func(c *service.Config) { c.Limits = access.Limits{PerSecond: 0.001, Burst: 5} })
	token, other := h.Token("prod", hubapi.RoleViewer), h.Token("prod", hubapi.RoleViewer)
	client := browser(t, h)
	var mu sync.Mutex
	var group sync.WaitGroup
	answers := map[int]int{}
	for range 20 {
		group.Go(func() {
			resp := h.Get(client, "/v1/projects/prod/clusters", token)
			read(t, resp)
			mu.Lock()
			defer mu.Unlock()
			answers[resp.StatusCode]++
			if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
				t.Error("nobody says when to come back")
			}
		})
	}
	group.Wait()
	if answers[200] != 5 || answers[429] != 15 {
		t.Errorf("answers %v, want 5 and then 429", answers)
	}
	if resp := h.Get(client, "/v1/projects/prod/clusters", other); resp.StatusCode != http.StatusOK {
		t.Errorf("another token suffers: %s", read(t, resp))
	} else {
		read(t, resp)
	}
}

// TestSecretsAreNowhere: what comes in a request, and the keys that the hub makes, are in no log and no answer.
func TestSecretsAreNowhere(t *testing.T) {
	var log lockedBuffer
	h := hubtest.Start(t, func(c *service.Config) { generous(c); c.Log = debugLog(&log); c.MetricsListen = "127.0.0.1:0" })
	client := browser(t, h)
	token := h.Token("prod", hubapi.RoleAdmin)
	const password = "correct-horse-battery"
	for _, path := range []string{"/v1/projects/prod/clusters?token=" + password, "/" + password, "/v1/projects/" + password + "_/clusters"} {
		read(t, h.Get(client, path, token))
		read(t, h.Get(client, path, "palette_"+password))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, h.URL+"/v1/projects/prod/cloud-accounts/"+uuid.NewString(),
		strings.NewReader(`{"name":"a","password":"`+password+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("If-None-Match", "*")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if text := read(t, resp); strings.Contains(text, password) || strings.Contains(text, token) {
		t.Errorf("the answer repeats a secret: %s", text)
	}
	h.Stop()
	secret := token[strings.LastIndex(token[:len(token)-43], "_")+1:]
	if text := log.String(); strings.Contains(text, password) || strings.Contains(text, secret) {
		t.Errorf("the log holds a secret: %s", text)
	}
	files, err := os.ReadDir(h.Config.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		body, err := os.ReadFile(h.Config.DataDir + "/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte(password)) || bytes.Contains(body, []byte(secret)) {
			t.Errorf("%s holds a secret", file.Name())
		}
	}
}

// FuzzRequests sends any method, path and body to every place of the API.
func FuzzRequests(f *testing.F) {
	h := hubtest.Start(f, func(c *service.Config) { generous(c); c.PlainHTTP = true })
	token := h.Token("", hubapi.RoleAdmin)
	for _, route := range hub.Routes() {
		path := strings.NewReplacer("{project}", "prod", "{kind}", "networks").Replace(route.FullPath())
		f.Add(route.Method, strings.ReplaceAll(path, "{id}", uuid.NewString()), "name=a&after=1", []byte("{}"))
		f.Add(route.Method, strings.ReplaceAll(path, "{id}", "%2e%2e"), "after=-1", []byte("\x00"))
	}
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		if strings.ContainsAny(method+path+query, "\r\n ") || method == "" || method == http.MethodHead {
			t.Skip("not one request")
		}
		conn := wire(t, h)
		defer func() { _ = conn.Close() }()
		go func() {
			_, _ = fmt.Fprintf(conn, "%s %s?%s HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
				method, path, query, token, len(body))
			_, _ = conn.Write(body)
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatalf("%q %q: no answer: %v", method, path, err)
		}
		answer, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err := wellFormed(resp, answer); err != nil {
			t.Errorf("%q %q %q: %v", method, path, body, err)
		}
	})
}
