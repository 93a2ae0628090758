package hubapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AuditEntry says who did what to which object, from where, and what came of it. It holds names and ids and never
// anything else that a request or an answer held.
type AuditEntry struct {
	// Seq counts the entries of all projects.
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	// Actor names the principal, such as "token:6f1c1d5e-... ci"; empty is somebody unknown.
	Actor string `json:"actor,omitempty"`
	Role  Role   `json:"role,omitempty"`
	// Source is the address that the request came from.
	Source string `json:"source,omitempty"`
	Method string `json:"method"`
	// Route is a path with placeholders, such as "/clusters/{id}".
	Route string `json:"route"`
	Kind  string `json:"kind,omitempty"`
	// Object is the id of what was acted on.
	Object string `json:"object,omitempty"`
	Name   string `json:"name,omitempty"`
	// Status is that of the answer; Code is empty when all was well.
	Status    int    `json:"status"`
	Code      Code   `json:"code,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Hash chains the entries of all projects: each is over the one before.
	Hash []byte `json:"hash"`
}

// MaxAuditPage is how many entries of the audit log can be read at once.
const MaxAuditPage = 1000

// Audit returns the project's entries of the audit log after the given number, in order and at most limit; 0 is
// MaxAuditPage.
func (c *Client) Audit(ctx context.Context, after int64, limit int) ([]AuditEntry, error) {
	if limit == 0 {
		limit = MaxAuditPage
	}
	var list List[AuditEntry]
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	if err := c.do(ctx, call{method: http.MethodGet, path: "/audit", query: query}, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}
