package service

import (
	"errors"
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// handler is all that is behind the one port.
func (s *service) handler() http.Handler {
	return beside(s.hub.Handler(), map[string]http.Handler{
		"/healthz": http.HandlerFunc(healthy),
		"/readyz":  http.HandlerFunc(s.ready),
		"/metrics": s.forOperators(s.metrics.handler()),
	})
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

// alone is the directory of a hub that has at most a gateway beside it.
type alone struct{ system *System }

var _ hub.GatewayDirectory = alone{}

// IDs implements hub.GatewayDirectory.
func (a alone) IDs() []string {
	if a.system == nil {
		return nil
	}
	return []string{a.system.ID}
}

// SystemID implements hub.GatewayDirectory.
func (a alone) SystemID() string {
	if a.system == nil {
		return ""
	}
	return a.system.ID
}

// RoundTripper implements hub.GatewayDirectory.
func (a alone) RoundTripper(id string) (http.RoundTripper, bool) {
	if a.system == nil || id != a.system.ID {
		return nil, false
	}
	return a.system.Transport, true
}
