package hub

import (
	"context"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// visit is what the audit log will say of a request.
type visit struct {
	route    Route
	who      Principal
	status   int
	code     hubapi.Code
	recorded bool
}

// audited tells whether a visit is kept: whatever needs more than reading, and whoever was turned away. Those who were
// told to come back later were not looked at.
func (v *visit) audited() bool {
	if v.status == http.StatusTooManyRequests {
		return false
	}
	return v.route.Role != hubapi.RoleViewer || v.status == http.StatusUnauthorized || v.status == http.StatusForbidden
}

// record keeps a visit once, before its answer is written. The request has been carried out by then, so a log that cannot
// be written changes nothing for its client; it is counted and logged.
func (h *Hub) record(r *http.Request, v *visit) {
	if v.recorded || !v.audited() {
		return
	}
	v.recorded = true
	entry := hubapi.AuditEntry{
		Time: h.now().UTC(), RequestID: hubapi.RequestID(r.Context()),
		Actor: v.who.ID, ActorName: v.who.Name, Role: v.who.Role, Source: h.source(r),
		Action: v.route.Method + " " + v.route.Path, Object: object(r, v.route.Path),
		Status: v.status, Code: v.code,
	}
	if project := r.PathValue("project"); hubapi.ValidProject(project) {
		entry.Project = project
	}
	if err := h.audit(context.WithoutCancel(r.Context()), entry); err != nil {
		h.log.ErrorContext(r.Context(), "audit entry not written", "error", err, "request_id", entry.RequestID,
			"actor", entry.Actor, "action", entry.Action, "object", entry.Object, "status", entry.Status)
	}
}

// kindName is what may stand in a path in the place of a kind.
var kindName = regexp.MustCompile(`^[a-z][a-z-]{0,31}$`)

// object is the route's path with the ids of the request. What is no id is left out: somebody may have put a secret there.
func object(r *http.Request, pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		name, ok := strings.CutPrefix(part, "{")
		if !ok {
			continue
		}
		value := r.PathValue(strings.TrimSuffix(name, "}"))
		if parts[i] = "?"; uuid.Validate(value) == nil && len(value) == 36 || kindName.MatchString(value) {
			parts[i] = value
		}
	}
	return strings.Join(parts, "/")
}

// peer is the address that a request came from.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
