package hub

import (
	"errors"
	"net/http"
	"runtime/debug"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// answer is what an endpoint answers when all is well.
type answer struct {
	status     int // 0 is 200
	generation int64
	body       any
}

// endpoint answers a request about a project.
type endpoint func(w http.ResponseWriter, r *http.Request, project string) (answer, error)

// Handler returns the REST API.
func (h *Hub) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, e := range map[string]endpoint{
		"GET /gateways":                            h.listGateways,
		"GET /gateways/{id}":                       h.getGateway,
		"PUT /gateways/{id}":                       h.putGateway,
		"DELETE /gateways/{id}":                    h.deleteGateway,
		"DELETE /gateways/{id}/replicas/{replica}": h.revokeReplica,
		"GET /gateways/{id}/pairings/{pairing}":    h.getPairing,
		"PUT /gateways/{id}/pairings/{pairing}":    h.putPairing,

		"GET /cloud-accounts":                       h.listAccounts,
		"GET /cloud-accounts/{id}":                  h.getAccount,
		"PUT /cloud-accounts/{id}":                  h.putAccount,
		"DELETE /cloud-accounts/{id}":               h.deleteAccount,
		"GET /cloud-accounts/{id}/inventory/{kind}": h.getInventory,

		"GET /ip-pools":          h.listPools,
		"GET /ip-pools/{id}":     h.getPool,
		"PUT /ip-pools/{id}":     h.putPool,
		"DELETE /ip-pools/{id}":  h.deletePool,
		"POST /ip-pools/preview": h.previewPool,

		"GET /clusters":               h.listClusters,
		"GET /clusters/{id}":          h.getCluster,
		"PUT /clusters/{id}":          h.putCluster,
		"DELETE /clusters/{id}":       h.deleteCluster,
		"POST /clusters/preview":      h.previewCluster,
		"POST /clusters/{id}/refresh": h.refreshCluster,
	} {
		mux.Handle(below(pattern), h.serve(e))
	}
	mux.Handle(below("GET /clusters/{id}/events"), h.inProject(h.watchCluster))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		hubapi.WriteProblem(w, notFound("there is nothing at %s %s", r.Method, truncate(r.URL.Path)).
			WithHint("The client may be newer than the hub, which is version %s.", h.version))
	})
	return h.middleware(mux)
}

// below puts the project's prefix into a pattern "METHOD /path".
func below(pattern string) string {
	for i := range pattern {
		if pattern[i] == ' ' {
			return pattern[:i+1] + "/v1/projects/{project}" + pattern[i+1:]
		}
	}
	return pattern
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
		next.ServeHTTP(w, r)
	})
}

// inProject lets a request through to its project only, and only those who may reach it.
func (h *Hub) inProject(next func(w http.ResponseWriter, r *http.Request, project string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, err := h.authenticate(r)
		if err != nil {
			p, ok := errors.AsType[*hubapi.Problem](err)
			if !ok {
				p = hubapi.NewProblem(hubapi.CodeUnauthorized, "the request carries no valid credentials")
			}
			hubapi.WriteProblem(w, p)
			return
		}
		project := r.PathValue("project")
		if !hubapi.ValidProject(project) {
			hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeInvalid, "%q is not the name of a project", truncate(project)))
			return
		}
		if who.Project != "" && who.Project != project {
			hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeForbidden, "%s may not reach project %s", who.Name, project))
			return
		}
		next(w, r, project)
	})
}

// serve writes what an endpoint answers.
func (h *Hub) serve(e endpoint) http.Handler {
	return h.inProject(func(w http.ResponseWriter, r *http.Request, project string) {
		a, err := e(w, r, project)
		if err != nil {
			p := h.asProblem(r.Context(), err)
			if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
				w.Header().Set("Retry-After", "1")
			}
			hubapi.WriteProblem(w, p)
			return
		}
		if a.generation > 0 {
			w.Header().Set("ETag", hubapi.ETag(a.generation))
		}
		if a.body == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if a.status == 0 {
			a.status = http.StatusOK
		}
		hubapi.WriteJSON(w, a.status, a.body)
	})
}

// condition reads the conditions of a write.
func condition(r *http.Request) (hubapi.WriteOptions, error) {
	var o hubapi.WriteOptions
	switch r.Header.Get("If-None-Match") {
	case "":
	case "*":
		o.Create = true
	default:
		return o, invalid("", "If-None-Match can only be *")
	}
	if tag := r.Header.Get("If-Match"); tag != "" && tag != "*" {
		generation, err := hubapi.ParseETag(tag)
		if err != nil {
			return o, invalid("", "If-Match: %s", err)
		}
		o.IfGeneration = generation
	}
	if o.Create && o.IfGeneration != 0 {
		return o, invalid("", "If-Match and If-None-Match exclude each other")
	}
	return o, nil
}

// put reads the body and the conditions of a write.
func readPut[T any](w http.ResponseWriter, r *http.Request) (id string, body T, o hubapi.WriteOptions, err error) {
	id = r.PathValue("id")
	if err = checkID(id); err != nil {
		return id, body, o, err
	}
	if o, err = condition(r); err != nil {
		return id, body, o, err
	}
	err = hubapi.ReadJSON(w, r, &body)
	return id, body, o, err
}

func statusOf(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}
