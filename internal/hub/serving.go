package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Handler returns the REST API.
func (h *Hub) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range Routes() {
		mux.Handle(route.Method+" "+route.FullPath(), h.instrument(route, h.serve(route)))
	}
	mux.Handle("/", h.instrument(Route{}, http.HandlerFunc(h.nothing)))
	return h.middleware(mux)
}

// nothing answers where there is no route.
func (h *Hub) nothing(w http.ResponseWriter, r *http.Request) {
	hubapi.WriteProblem(w, notFound("there is nothing at %s %s", truncate(r.Method), truncate(r.URL.Path)).
		WithHint("The client may be newer than the hub, which is version %s.", h.version))
}

// middleware gives every request an id and sees to it that a panic is one request's trouble only.
func (h *Hub) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := hubapi.IncomingRequestID(r)
		w.Header().Set(hubapi.HeaderRequestID, id)
		r = r.WithContext(hubapi.WithRequestID(r.Context(), id))
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // the documented way to cut a connection
			}
			h.log.ErrorContext(r.Context(), "request panicked",
				"panic", p, "request_id", id, "stack", string(debug.Stack()))
			hubapi.WriteProblem(w, hubapi.AsProblem(nil))
		}()
		if !straight(r.URL.EscapedPath()) {
			h.nothing(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// straight tells whether a path is one that the router takes as it is. Others it answers with a redirect.
func straight(p string) bool {
	return strings.HasPrefix(p, "/") && (p == "/" || path.Clean(p) == strings.TrimSuffix(p, "/"))
}

// serve answers requests that take the route.
func (h *Hub) serve(route Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, done := bound(w, r, route.limit())
		defer done()
		v := visit{route: route, status: http.StatusInternalServerError}
		defer func(began time.Time) { // also when the endpoint panics
			h.record(r, &v)
			h.log.DebugContext(r.Context(), "request", "method", route.Method, "route", route.Path, "status", v.status,
				"code", v.code, "actor", v.who.ID, "request_id", hubapi.RequestID(r.Context()), "took", time.Since(began))
		}(time.Now())
		a, err := h.enter(w, r, &v)
		if err != nil {
			p := h.asProblem(r.Context(), err)
			v.status, v.code = p.Status, p.Code
			h.record(r, &v)
			refuse(w, p, err)
			return
		}
		v.status = a.code()
		h.record(r, &v)
		a.write(w)
	})
}

func (h *Hub) enter(w http.ResponseWriter, r *http.Request, v *visit) (a answer, err error) {
	if v.who, err = h.admit(r, v.route.Role); err != nil {
		return answer{}, err
	}
	if v.route.Stream {
		ctx, leave := h.whileGood(r.Context(), v.who)
		defer leave()
		r = r.WithContext(ctx)
	}
	return v.route.handle(h, w, r, r.PathValue("project"))
}

func (a answer) code() int {
	switch {
	case a.status != 0:
		return a.status
	case a.body == nil && !a.written:
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

func (a answer) write(w http.ResponseWriter) {
	if a.written {
		return
	}
	if a.generation > 0 {
		w.Header().Set("ETag", hubapi.ETag(a.generation))
	}
	if a.body == nil {
		w.WriteHeader(a.code())
		return
	}
	hubapi.WriteJSON(w, a.code(), a.body)
}

// Refuse answers a request with what is wrong, for endpoints beside the API.
func (h *Hub) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	refuse(w, h.asProblem(r.Context(), err), err)
}

// refuse writes a problem, and when to come back where that helps.
func refuse(w http.ResponseWriter, p *hubapi.Problem, err error) {
	after := time.Second
	if later, ok := errors.AsType[*LaterError](err); ok {
		after = later.After
	}
	switch p.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		seconds := (after + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(seconds))))
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="palette"`)
	}
	hubapi.WriteProblem(w, p)
}

const (
	// bodyLimit is how long a request's body may take to arrive.
	bodyLimit = time.Minute
	// lastWords is how much longer than the request its answer may take to be written.
	lastWords = 10 * time.Second
)

// bound gives a request the time it may take; 0 is for ever. Where a transport knows no deadlines there are none.
func bound(w http.ResponseWriter, r *http.Request, limit time.Duration) (*http.Request, context.CancelFunc) {
	control := http.NewResponseController(w)
	if r.ContentLength != 0 && control.SetReadDeadline(time.Now().Add(bodyLimit)) == nil {
		r.Body = &timedBody{ReadCloser: r.Body, arrived: func() { _ = control.SetReadDeadline(time.Time{}) }}
	}
	if limit == 0 {
		return r, func() {}
	}
	_ = control.SetWriteDeadline(time.Now().Add(limit + lastWords))
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return r.WithContext(ctx), cancel
}

// timedBody lifts the deadline when the body has arrived: from then on the server only listens whether the client is
// still there, and a deadline would look as if it had gone.
type timedBody struct {
	io.ReadCloser
	arrived func()
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.arrived()
	}
	return n, err //nolint:wrapcheck // io.EOF has to stay what it is.
}
