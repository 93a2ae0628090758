package hub

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
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
	entry := store.AuditEntry{
		Time: h.now(), Actor: v.who.String(), Role: v.who.Role, Remote: h.source(r),
		Method: v.route.Method, Route: v.route.Path, Kind: v.route.kind(), Object: object(r, v.route.Path),
		Outcome: v.status, Code: v.code, RequestID: hubapi.RequestID(r.Context()),
	}
	if project := r.PathValue("project"); hubapi.ValidProject(project) {
		entry.Project = project
	}
	if v.who.Project != "" && v.who.Project != entry.Project {
		entry.Actor = v.who.ID // What a project calls its tokens is not for others to read.
	}
	if err := h.audit(context.WithoutCancel(r.Context()), entry); err != nil {
		h.log.ErrorContext(r.Context(), "audit entry not written", "error", err, "request_id", entry.RequestID,
			"actor", entry.Actor, "method", entry.Method, "route", entry.Route, "object", entry.Object, "outcome", entry.Outcome)
	}
}

// kind is the kind of record that the route is about: the singular of its path's first word.
func (r Route) kind() store.Kind {
	word, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
	return store.Kind(strings.TrimSuffix(word, "s"))
}

// object is the ids in a request's path. What is no id is left out: somebody may have put a secret there.
func object(r *http.Request, pattern string) string {
	var ids []string
	for part := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			if id := r.PathValue(strings.TrimSuffix(name, "}")); checkID(id) == nil {
				ids = append(ids, id)
			}
		}
	}
	return strings.Join(ids, "/")
}

// peer is the address that a request came from.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (h *Hub) listAudit(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	after, err := number(r, "after", 0)
	if err != nil {
		return answer{}, err
	}
	limit, err := number(r, "limit", hubapi.MaxAuditPage)
	if err != nil {
		return answer{}, err
	}
	if limit == 0 || limit > hubapi.MaxAuditPage {
		return answer{}, invalid("", "limit is not between 1 and %d", hubapi.MaxAuditPage)
	}
	entries, err := h.store.Audit(r.Context(), project, after, int(limit))
	if err != nil {
		return answer{}, err
	}
	items := make([]hubapi.AuditEntry, 0, len(entries))
	for _, e := range entries {
		items = append(items, hubapi.AuditEntry{
			Seq: e.Seq, Time: e.Time, Actor: e.Actor, Role: e.Role, Source: e.Remote, Method: e.Method, Route: e.Route,
			Kind: string(e.Kind), Object: e.Object, Name: e.Name, Status: e.Outcome, Code: e.Code, RequestID: e.RequestID,
			Hash: e.Hash,
		})
	}
	return answer{body: hubapi.List[hubapi.AuditEntry]{Items: items}}, nil
}

// number reads a number from the query; it is not negative.
func number(r *http.Request, name string, otherwise int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("", "%s is not a number from 0 on", name)
	}
	return n, nil
}
