package testkit

import (
	"bytes"
	"crypto/tls"
	"encoding/xml"
	"io"
	"log"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/soap"
)

const (
	restSession       = "/rest/com/vmware/cis/session"
	restSessionHeader = "vmware-api-session-id"
	maxRequest        = 64 << 20
)

func newServer(vc *VCenter, id identity) *http.Server {
	return &http.Server{
		Handler:           vc,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{id.certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
		// Broken connections are what many tests are about; they are no news.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// ServeHTTP counts, hooks and orders what the simulator then answers.
func (vc *VCenter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	vc.work.Add(1)
	defer vc.work.Done()
	switch {
	case r.URL.Path == vim25.Path || r.URL.Path == vim25.Path+"/vimService":
		vc.serveSOAP(w, r)
	case strings.HasPrefix(r.URL.Path, "/rest") || strings.HasPrefix(r.URL.Path, "/api"):
		vc.serveREST(w, r)
	default:
		vc.service.ServeMux.ServeHTTP(w, r)
	}
}

func (vc *VCenter) serveSOAP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call := readCall(body)
	own := r.UserAgent() == ownAgent
	var n int
	var before, after func(string, int) error
	if !own {
		n, before, after = vc.traffic.countSOAP(call.method)
	}
	if before != nil && before(call.method, n) != nil {
		panic(http.ErrAbortHandler)
	}
	answer := newAnswer()
	vc.execute(answer, r, call)
	if !own && strings.HasPrefix(call.method, "Login") {
		vc.traffic.countLogin(answer.status == http.StatusOK)
	}
	if after != nil && after(call.method, n) != nil {
		panic(http.ErrAbortHandler)
	}
	if vc.swallowed(r) {
		panic(http.ErrAbortHandler)
	}
	answer.send(w)
}

// swallowed tells whether a proxy shall lose the answer to a request.
func (vc *VCenter) swallowed(r *http.Request) bool {
	lost := false
	vc.proxies.Range(func(key, _ any) bool {
		if proxy, ok := key.(*Proxy); ok {
			lost = proxy.swallows(r.RemoteAddr)
		}
		return !lost
	})
	return lost
}

// execute lets the simulator answer. Reads run beside each other, everything else alone; only waits for updates run
// beside everything.
func (vc *VCenter) execute(answer *answer, r *http.Request, call soapCall) {
	switch {
	case strings.HasPrefix(call.method, "WaitForUpdates"):
		key := waitKey{session: sessionCookie(r), collector: call.this}
		done := vc.waits.enter(r.Context(), key)
		defer done()
	case isRead(call.method):
		vc.world.RLock()
		defer vc.world.RUnlock()
	default:
		vc.world.Lock()
		defer vc.world.Unlock()
	}
	vc.service.ServeMux.ServeHTTP(answer, r)
}

func isRead(method string) bool {
	for _, prefix := range []string{"Retrieve", "ContinueRetrieve", "Find", "Fetch", "Has", "Query", "CurrentTime"} {
		if strings.HasPrefix(method, prefix) {
			return true
		}
	}
	return false
}

func sessionCookie(r *http.Request) string {
	cookie, err := r.Cookie(soap.SessionCookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

func (vc *VCenter) serveREST(w http.ResponseWriter, r *http.Request) {
	opening := r.Method == http.MethodPost && r.URL.Path == restSession && r.URL.RawQuery == ""
	closing := r.Method == http.MethodDelete && r.URL.Path == restSession
	own := r.UserAgent() == ownAgent
	if !own && !opening && !closing {
		vc.traffic.countREST()
	}
	if id := r.Header.Get(restSessionHeader); vc.sessions.isKilled(id) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer := newAnswer()
	vc.world.Lock()
	vc.service.ServeMux.ServeHTTP(answer, r)
	vc.world.Unlock()
	if opening {
		if !own {
			vc.traffic.countLogin(answer.status == http.StatusOK)
		}
		vc.sessions.openedREST(answer.body.String())
	}
	answer.send(w)
}

// answer holds a response back until it is known whether it may be sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}, status: http.StatusOK} }

// Header is part of http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader is part of http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write is part of http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

func (a *answer) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}

// soapCall is what the server has to know of a request before the simulator decodes it.
type soapCall struct {
	method string
	this   string
}

// readCall finds the method, the first element in the envelope's body, and the object it is called on.
func readCall(body []byte) soapCall {
	var call soapCall
	inBody, inThis := false, false
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if err != nil {
			return call
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch {
			case !inBody:
				inBody = t.Name.Local == "Body"
			case call.method == "":
				call.method = t.Name.Local
			default:
				inThis = t.Name.Local == "_this"
				if !inThis {
					return call
				}
			}
		case xml.CharData:
			if inThis {
				call.this = string(t)
				return call
			}
		}
	}
}
