package hubapi

import "time"

// AuditEntry says who did what, to which object, from where, and what came of it. It holds names and ids and never
// anything that a request or an answer held.
type AuditEntry struct {
	// Seq counts the entries of a hub.
	Seq       int64     `json:"seq"`
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id,omitempty"`
	// Actor names the principal for good, such as "token:6f1c1d5e-..."; "" is somebody unknown.
	Actor     string `json:"actor,omitempty"`
	ActorName string `json:"actor_name,omitempty"`
	Role      Role   `json:"role,omitempty"`
	Project   string `json:"project,omitempty"`
	// Source is the address that the request came from.
	Source string `json:"source,omitempty"`
	// Action is a method and a path with placeholders, such as "PUT /clusters/{id}"; Object is that path with the ids.
	Action string `json:"action"`
	Object string `json:"object,omitempty"`
	// Status is that of the answer; Code is empty when all was well.
	Status int  `json:"status"`
	Code   Code `json:"code,omitempty"`
}
