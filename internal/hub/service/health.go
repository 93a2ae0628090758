package service

import (
	"context"
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// pingLimit is how long the database may take to answer.
const pingLimit = 2 * time.Second

// healthy tells that the process answers; whether others do is not its health.
func healthy(w http.ResponseWriter, _ *http.Request) {
	hubapi.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready tells whether requests can be answered now: balancers send them elsewhere while that is not so.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeUnreachable, "the hub is shutting down"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingLimit)
	defer cancel()
	if err := s.records.Ping(ctx); err != nil {
		s.cfg.Log.WarnContext(ctx, "database does not answer", "error", err)
		hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeUnreachable, "the hub's database does not answer"))
		return
	}
	hubapi.WriteJSON(w, http.StatusOK, map[string]string{"status": "ready"})
}
