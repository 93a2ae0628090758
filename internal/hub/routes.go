package hub

import (
	"net/http"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

// Route is one way into the API: what it is for, who may take it, what goes in and what comes out.
type Route struct {
	Method string
	// Path is below the project's prefix.
	Path string
	// Role is the least role that may take it. What needs more than reading is kept in the audit log.
	Role hubapi.Role
	// Summary is a line for people.
	Summary string
	// Query are the names of its query parameters.
	Query []string
	// Request and Response are values of the bodies' types; nil is no body.
	Request, Response any
	// Conditional tells that If-Match and If-None-Match say what a write is based on.
	Conditional bool
	// Stream tells that the answer is many documents, one a line, and has no end of its own.
	Stream bool

	// far tells that a gateway, and what is behind it, has to answer first.
	far    bool
	handle endpoint
}

// endpoint answers a request about a project.
type endpoint func(h *Hub, w http.ResponseWriter, r *http.Request, project string) (answer, error)

// answer is what an endpoint answers when all is well.
type answer struct {
	status     int // 0 is 200
	generation int64
	body       any
	written    bool // the endpoint has answered itself
}

const (
	// prefix is where a project's objects are.
	prefix = "/v1/projects/{project}"

	// nearLimit is how long a request may take that the hub answers by itself, farLimit one that a gateway has to answer.
	nearLimit = 30 * time.Second
	farLimit  = 5 * time.Minute
)

// FullPath is the route's path with its placeholders, from the root.
func (r Route) FullPath() string { return prefix + r.Path }

// limit is how long the route may take to answer; 0 is for ever.
func (r Route) limit() time.Duration {
	switch {
	case r.Stream:
		return 0
	case r.far:
		return farLimit
	default:
		return nearLimit
	}
}

// Routes returns all ways into the API.
func Routes() []Route {
	var all []Route
	for _, some := range [][]Route{gatewayRoutes(), accountRoutes(), poolRoutes(), clusterRoutes(), auditRoutes()} {
		all = append(all, some...)
	}
	return all
}

func gatewayRoutes() []Route {
	const path = "/gateways"
	return []Route{
		{
			Method: http.MethodGet, Path: path, Role: hubapi.RoleViewer, Summary: "List gateways", far: true,
			Query: []string{"name"}, Response: hubapi.List[hubapi.Gateway]{}, handle: (*Hub).listGateways,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}", Role: hubapi.RoleViewer, far: true,
			Summary: "Read a gateway, at the latest after the wait and sooner when it has the state",
			Query:   []string{"wait", "state"}, Response: hubapi.Gateway{}, handle: (*Hub).getGateway,
		},
		{
			Method: http.MethodPut, Path: path + "/{id}", Role: hubapi.RoleAdmin, Summary: "Create or update a gateway", Conditional: true,
			Request: hubapi.GatewayWrite{}, Response: hubapi.Gateway{}, handle: (*Hub).putGateway,
		},
		{
			Method: http.MethodDelete, Path: path + "/{id}", Role: hubapi.RoleAdmin,
			Summary: "Delete a gateway that nothing uses, and cut its tunnels; with dry_run only tell what stands against that",
			Query:   []string{hubapi.QueryDryRun}, handle: (*Hub).deleteGateway,
		},
		{
			Method: http.MethodDelete, Path: path + "/{id}/replicas/{replica}", Role: hubapi.RoleAdmin,
			Summary: "Shut a replica of a gateway out for good, and cut its tunnels", handle: (*Hub).revokeReplica,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}/pairings/{pairing}", Role: hubapi.RoleAdmin,
			Summary: "Read what is known of a pairing token", Response: hubapi.Pairing{}, handle: (*Hub).getPairing,
		},
		{
			Method: http.MethodPut, Path: path + "/{id}/pairings/{pairing}", Role: hubapi.RoleAdmin,
			Summary: "Announce a pairing token", Request: hubapi.PairingWrite{}, Response: hubapi.Pairing{},
			handle: (*Hub).putPairing,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}/custody", Role: hubapi.RoleAdmin,
			Summary: "Read the key that is in custody with a gateway", Response: hubapi.Custody{}, handle: (*Hub).getCustody,
		},
		{
			Method: http.MethodPut, Path: path + "/{id}/custody", Role: hubapi.RoleAdmin,
			Summary: "Give a key into custody with a gateway, unless there is one",
			Request: hubapi.Custody{}, Response: hubapi.Custody{}, handle: (*Hub).putCustody,
		},
	}
}

func accountRoutes() []Route {
	const path = "/cloud-accounts"
	return []Route{
		{
			Method: http.MethodGet, Path: path, Role: hubapi.RoleViewer, Summary: "List cloud accounts",
			Query: []string{"name"}, Response: hubapi.List[hubapi.CloudAccount]{}, handle: (*Hub).listAccounts,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}", Role: hubapi.RoleViewer, Summary: "Read a cloud account",
			Response: hubapi.CloudAccount{}, handle: (*Hub).getAccount,
		},
		{
			Method: http.MethodPut, Path: path + "/{id}", Role: hubapi.RoleEditor, far: true,
			Summary:     "Create or update a cloud account, once its vCenter has let the gateway in",
			Conditional: true, Request: hubapi.CloudAccountWrite{}, Response: hubapi.CloudAccount{}, handle: (*Hub).putAccount,
		},
		{
			Method: http.MethodDelete, Path: path + "/{id}", Role: hubapi.RoleEditor,
			Summary: "Delete a cloud account that no cluster uses", handle: (*Hub).deleteAccount,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}/inventory/{kind}", Role: hubapi.RoleViewer, far: true,
			Summary: "Read what a vCenter has of one kind", Query: []string{"datacenter", "compute_cluster", "accessible_from"},
			Response: inventory.Objects{}, handle: (*Hub).getInventory,
		},
	}
}

func poolRoutes() []Route {
	const path = "/ip-pools"
	return []Route{
		{
			Method: http.MethodGet, Path: path, Role: hubapi.RoleViewer, Summary: "List address pools",
			Query: []string{"name"}, Response: hubapi.List[hubapi.IPPool]{}, handle: (*Hub).listPools,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}", Role: hubapi.RoleViewer, Summary: "Read an address pool",
			Response: hubapi.IPPool{}, handle: (*Hub).getPool,
		},
		{
			Method: http.MethodPut, Path: path + "/{id}", Role: hubapi.RoleEditor, Summary: "Create or update an address pool",
			Conditional: true, Request: hubapi.IPPoolWrite{}, Response: hubapi.IPPool{}, handle: (*Hub).putPool,
		},
		{
			Method: http.MethodDelete, Path: path + "/{id}", Role: hubapi.RoleEditor,
			Summary: "Delete an address pool of which no address is leased", handle: (*Hub).deletePool,
		},
		{
			Method: http.MethodPost, Path: path + "/preview", Role: hubapi.RoleViewer,
			Summary: "Tell what a write of an address pool would be refused for",
			Request: hubapi.IPPoolPreview{}, Response: hubapi.List[cluster.Problem]{}, handle: (*Hub).previewPool,
		},
	}
}

func clusterRoutes() []Route {
	const path = "/clusters"
	return []Route{
		{
			Method: http.MethodGet, Path: path, Role: hubapi.RoleViewer, Summary: "List clusters",
			Query: []string{"name"}, Response: hubapi.List[hubapi.Cluster]{}, handle: (*Hub).listClusters,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}", Role: hubapi.RoleViewer, Summary: "Read a cluster as the hub has it",
			Response: hubapi.Cluster{}, handle: (*Hub).getCluster,
		},
		{
			Method: http.MethodPut, Path: path + "/{id}", Role: hubapi.RoleEditor, far: true,
			Summary:     "Say what a cluster should be, and have its gateway begin",
			Conditional: true, Request: hubapi.ClusterWrite{}, Response: hubapi.Cluster{}, handle: (*Hub).putCluster,
		},
		{
			Method: http.MethodDelete, Path: path + "/{id}", Role: hubapi.RoleEditor, far: true,
			Summary: "Have the gateway begin to delete a cluster", handle: (*Hub).deleteCluster,
		},
		{
			Method: http.MethodPost, Path: path + "/preview", Role: hubapi.RoleViewer, far: true,
			Summary: "Tell what a write of a cluster would do",
			Request: hubapi.ClusterPreview{}, Response: hubapi.Preview{}, handle: (*Hub).previewCluster,
		},
		{
			Method: http.MethodPost, Path: path + "/{id}/refresh", Role: hubapi.RoleViewer, far: true,
			Summary: "Have the gateway look at a cluster", Response: hubapi.Cluster{}, handle: (*Hub).refreshCluster,
		},
		{
			Method: http.MethodGet, Path: path + "/{id}/events", Role: hubapi.RoleViewer, Stream: true,
			Summary: "Follow what happens to a cluster, from after a number on", Query: []string{"after"},
			Response: hubapi.Event{}, handle: (*Hub).watchCluster,
		},
	}
}

func auditRoutes() []Route {
	return []Route{{
		Method: http.MethodGet, Path: "/audit", Role: hubapi.RoleAdmin,
		Summary: "Read the audit log, from after a number on", Query: []string{"after", "limit"},
		Response: hubapi.List[hubapi.AuditEntry]{}, handle: (*Hub).listAudit,
	}}
}
