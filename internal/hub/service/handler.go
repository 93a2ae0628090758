package service

import (
	"errors"
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/downloads"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/openapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// handler is all that is behind the one port.
func (s *service) handler(document []byte) http.Handler {
	exact := downloads.New("", s.cfg.Version).Handlers()
	exact["/healthz"] = http.HandlerFunc(healthy)
	exact["/readyz"] = http.HandlerFunc(s.ready)
	exact["/metrics"] = s.forOperators(s.metrics.handler())
	exact[openapi.Path] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // Who has gone does not read it.
	})
	exact[tunnel.Path] = s.sessions.Handler()
	return beside(s.hub.Handler(), exact)
}

// metricsHandler is what is behind the port for metrics, which only those reach who may.
func (s *service) metricsHandler() http.Handler {
	return beside(http.NotFoundHandler(), map[string]http.Handler{
		"/healthz": http.HandlerFunc(healthy),
		"/readyz":  http.HandlerFunc(s.ready),
		"/metrics": s.metrics.handler(),
	})
}

// answerLimit is how long the endpoints beside the API may take to be written.
const answerLimit = 30 * time.Second

// beside puts endpoints, which are read by their exact paths, beside a handler. No router stands before that handler: one
// would answer odd paths by itself.
func beside(rest http.Handler, exact map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		endpoint, ok := exact[r.URL.Path]
		if !ok || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
			rest.ServeHTTP(w, r)
			return
		}
		control, limit := http.NewResponseController(w), time.Now().Add(answerLimit)
		_ = errors.Join(control.SetReadDeadline(limit), control.SetWriteDeadline(limit)) // where the transport knows any
		w.Header().Set(hubapi.HeaderRequestID, hubapi.IncomingRequestID(r))
		endpoint.ServeHTTP(w, r)
	})
}

// forOperators lets those through who may see all projects: what is counted is about all of them.
func (s *service) forOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := s.guard.Authenticate(r)
		if err == nil && (who.Project != "" || !who.Role.Allows(hubapi.RoleViewer)) {
			err = hubapi.NewProblem(hubapi.CodeForbidden, "metrics are about all projects, and %s is for one", who.Name).
				WithHint("Make a token with --all-projects, or run the hub with --metrics-listen.")
		}
		if err != nil {
			s.hub.Refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
