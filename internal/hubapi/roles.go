package hubapi

import "slices"

// Role says what somebody may do in a project.
type Role string

// The roles, each of which may do what the one before may.
const (
	// RoleViewer reads and previews.
	RoleViewer Role = "viewer"
	// RoleEditor also writes cloud accounts, address pools and clusters.
	RoleEditor Role = "editor"
	// RoleAdmin also writes gateways, pairs and revokes their replicas, and reads the audit log.
	RoleAdmin Role = "admin"
)

var roles = []Role{RoleViewer, RoleEditor, RoleAdmin}

// Valid tells whether there is such a role.
func (r Role) Valid() bool { return slices.Contains(roles, r) }

// Allows tells whether somebody with this role may do what needs the other one.
func (r Role) Allows(needed Role) bool {
	return r.Valid() && slices.Index(roles, r) >= slices.Index(roles, needed)
}
