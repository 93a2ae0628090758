package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/ippool"
)

func clusterOf(d *clusterDoc) hubapi.Cluster {
	return hubapi.Cluster{Meta: d.meta(), Spec: d.Spec, Status: d.Status}
}

// unfinished tells that the gateway has not finished with the newest generation, well or not.
func unfinished(d *clusterDoc) bool { return d.ObservedGeneration < d.Generation }

func (h *Hub) loadCluster(ctx context.Context, project, id string) (*clusterDoc, error) {
	return load[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, project, id)
}

// clustersWhere returns the names of clusters, sorted.
func (h *Hub) clustersWhere(ctx context.Context, project string, fits func(*clusterDoc) bool) ([]string, error) {
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{Project: project})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range docs {
		if fits(d) {
			names = append(names, fmt.Sprintf("cluster %q", d.Name))
		}
	}
	return names, nil
}

func (h *Hub) listClusters(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](
		r.Context(), h.store, store.KindCluster, store.Filter{Project: project, Name: r.URL.Query().Get("name")})
	if err != nil {
		return answer{}, err
	}
	items := make([]hubapi.Cluster, 0, len(docs))
	for _, d := range docs {
		items = append(items, clusterOf(d))
	}
	return answer{body: hubapi.List[hubapi.Cluster]{Items: items}}, nil
}

func (h *Hub) getCluster(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	d, err := h.loadCluster(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return answer{generation: d.Generation, body: clusterOf(d)}, nil
}

// refreshCluster asks the gateway how the cluster is. What a gateway that works on it has reported meanwhile is newer.
func (h *Hub) refreshCluster(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx := r.Context()
	d, err := h.loadCluster(ctx, project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	assignment, err := h.assignment(ctx, d)
	if err != nil {
		return answer{}, err
	}
	client, err := h.reach(ctx, project, assignment.Account.Spec.GatewayID)
	if err != nil {
		return answer{}, err
	}
	status, err := client.Observe(ctx, assignment)
	if err != nil {
		return answer{}, fromGateway(assignment.Account.Spec.GatewayID, err)
	}
	seen := d.Revision
	d, err = change(ctx, h.store, store.KindCluster, project, d.ID, func(now *clusterDoc) bool {
		if now.Revision != seen {
			return false
		}
		merged := mergeStatus(now.Status, status)
		merged.Claimed = true
		if same(merged, now.Status) {
			return false
		}
		now.Status = merged
		return true
	})
	if err != nil {
		return answer{}, err
	}
	return answer{generation: d.Generation, body: clusterOf(d)}, nil
}

// mergeStatus takes a gateway's word, and keeps what a gateway may leave out.
func mergeStatus(old, said hubapi.ClusterStatus) hubapi.ClusterStatus {
	if said.Phase == "" {
		said.Phase = old.Phase
	}
	if said.FoldersCreated == nil {
		said.FoldersCreated = old.FoldersCreated
	}
	said.Origin = old.Origin
	said.Claimed = said.Claimed || old.Claimed
	said.EverReady = said.EverReady || old.EverReady || (said.Ready && said.Phase == hubapi.PhaseReady)
	return said
}

// assignment puts together all that a gateway needs for a cluster.
func (h *Hub) assignment(ctx context.Context, d *clusterDoc) (gatewayapi.Assignment, error) {
	account, err := h.loadAccount(ctx, d.Project, d.Spec.CloudAccountID)
	if err != nil {
		return gatewayapi.Assignment{}, err
	}
	docs, err := h.pools(ctx, store.Filter{Project: d.Project})
	if err != nil {
		return gatewayapi.Assignment{}, err
	}
	wanted := poolIDs(d.Spec)
	var pools []hubapi.IPPool
	for _, p := range docs {
		// Machines of an earlier spec may still hold addresses of a pool that the spec no longer names.
		holds := slices.ContainsFunc(p.Status.Leases, func(l hubapi.IPLease) bool { return l.ClusterID == d.ID })
		if holds || slices.Contains(wanted, p.ID) {
			pools = append(pools, h.poolOf(p))
		}
	}
	return gatewayapi.Assignment{
		ID: d.ID, Project: d.Project, Generation: d.Generation, Deleting: d.DeletedAt != nil,
		Spec: d.Spec, Status: d.Status, SealedSecrets: d.Sealed,
		Account: gatewayAccount(account), Pools: pools,
	}, nil
}

// poolIDs returns the ids of the address pools that a spec names.
func poolIDs(s cluster.Spec) []string {
	var ids []string
	for _, pool := range s.Pools() {
		for _, place := range pool.Placements {
			if place.IPPoolID != "" {
				ids = append(ids, place.IPPoolID)
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// clusterProblems tells what is wrong with making the cluster what is asked, as far as the hub knows. Old is nil for a
// new cluster.
func (h *Hub) clusterProblems(
	ctx context.Context, project string, old *clusterDoc, spec cluster.Spec,
) ([]cluster.Problem, error) {
	problems := cluster.Validate(spec)
	// What never came to be can become anything; with machines it is bound by what those were made for.
	if old != nil && (old.Status.EverReady || len(old.Status.Machines) > 0 || old.Name != spec.Name) {
		problems = append(problems, cluster.CheckChange(old.Spec, spec)...)
	}
	if spec.CloudAccountID == "" {
		return problems, nil // Validate has said so
	}
	account, err := h.loadAccount(ctx, project, spec.CloudAccountID)
	if p, ok := errors.AsType[*hubapi.Problem](err); ok {
		return append(problems, problemAt("/cloud_account_id", "%s", p.Detail)), nil
	}
	if err != nil {
		return nil, err
	}
	for _, pool := range spec.Pools() {
		field := "/worker_pools/" + pool.Name
		if pool.ControlPlane {
			field = "/control_plane"
		}
		for i, place := range pool.Placements {
			if place.IPPoolID == "" {
				continue
			}
			at := fmt.Sprintf("%s/placements/%d/ip_pool_id", field, i)
			d, err := h.loadPool(ctx, project, place.IPPoolID)
			if p, ok := errors.AsType[*hubapi.Problem](err); ok {
				problems = append(problems, problemAt(at, "%s", p.Detail))
				continue
			}
			if err != nil {
				return nil, err
			}
			if p, taken := endpointInPool(spec.Endpoint.Host, d); taken {
				problems = append(problems, p)
			}
			if d.Spec.GatewayID != account.Spec.GatewayID {
				problems = append(problems, problemAt(at, "address pool %q belongs to gateway %s, cloud account %q to gateway %s",
					d.Name, d.Spec.GatewayID, account.Name, account.Spec.GatewayID))
			}
		}
	}
	twin, err := h.endpointTwin(ctx, project, account.Spec.GatewayID, old, spec)
	if err != nil {
		return nil, err
	}
	return withoutRepeats(append(problems, twin...)), nil
}

const endpointField = "/control_plane_endpoint/host"

// endpointInPool tells that machines could be given the address at which the cluster answers, or that it is the gateway's.
func endpointInPool(host string, d *poolDoc) (cluster.Problem, bool) {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return cluster.Problem{}, false // A name leads to a load balancer of its own.
	}
	parsed, _ := ippool.ParseSpec(d.Spec.Arithmetic()) // it was without mistakes when it was kept
	switch {
	case parsed.Gateway() == addr:
		return problemAt(endpointField, "%s is the gateway of address pool %q", host, d.Name), true
	case parsed.Contains(addr):
		return problemAt(endpointField, "%s is in address pool %q and could be given to a machine: "+
			"put it into the pool's excluded addresses, or take one outside", host, d.Name), true
	default:
		return cluster.Problem{}, false
	}
}

// endpointTwin tells that another cluster of the gateway answers at the same place.
func (h *Hub) endpointTwin(
	ctx context.Context, project, gatewayID string, old *clusterDoc, spec cluster.Spec,
) ([]cluster.Problem, error) {
	docs, err := list[cluster.Spec, hubapi.ClusterStatus](ctx, h.store, store.KindCluster, store.Filter{Project: project})
	if err != nil {
		return nil, err
	}
	for _, d := range docs {
		if old != nil && d.ID == old.ID || d.Name == spec.Name || d.Spec.Endpoint != spec.Endpoint {
			continue
		}
		account, err := h.loadAccount(ctx, project, d.Spec.CloudAccountID)
		if err != nil || account.Spec.GatewayID != gatewayID {
			continue // It may be in another network.
		}
		return []cluster.Problem{problemAt(endpointField, "cluster %q has the same endpoint", d.Name)}, nil
	}
	return nil, nil
}

// withoutRepeats drops problems that stand there already, as one pool in two placements makes them.
func withoutRepeats(problems []cluster.Problem) []cluster.Problem {
	var once []cluster.Problem
	for _, p := range problems {
		if !slices.Contains(once, p) {
			once = append(once, p)
		}
	}
	return once
}

// previewCluster tells what a write would refuse, else what the gateway would do.
func (h *Hub) previewCluster(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx := r.Context()
	var body hubapi.ClusterPreview
	if err := hubapi.ReadJSON(w, r, &body); err != nil {
		return answer{}, err
	}
	d, problem, err := h.previewed(ctx, project, body)
	if err != nil {
		return answer{}, err
	}
	if problem != nil {
		return answer{body: preview(hubapi.Preview{Problems: []cluster.Problem{*problem}})}, nil
	}
	var old *clusterDoc
	if d.Revision != 0 {
		old = d
	}
	problems, err := h.clusterProblems(ctx, project, old, body.Spec)
	if err != nil {
		return answer{}, err
	}
	if hasErrors(problems) {
		return answer{body: preview(hubapi.Preview{Problems: problems})}, nil
	}
	next := *d
	next.Record = new(*d.Record)
	next.Spec = body.Spec
	next.next()
	assignment, err := h.assignment(ctx, &next)
	if err != nil {
		return answer{}, err
	}
	client, err := h.reach(ctx, project, assignment.Account.Spec.GatewayID)
	if err != nil {
		return answer{}, err
	}
	said, err := client.Preview(ctx, assignment)
	if err != nil {
		return answer{}, fromGateway(assignment.Account.Spec.GatewayID, err)
	}
	said.Problems = uniqueProblems(append(problems, said.Problems...))
	return answer{body: preview(said)}, nil
}

// uniqueProblems drops repetitions: the gateway checks the spec as well.
func uniqueProblems(problems []cluster.Problem) []cluster.Problem {
	var unique []cluster.Problem
	for _, p := range problems {
		if !slices.Contains(unique, p) {
			unique = append(unique, p)
		}
	}
	return unique
}

// preview makes lists of what would be null on the wire.
func preview(p hubapi.Preview) hubapi.Preview {
	p.Operations = append([]cluster.Operation{}, p.Operations...)
	p.Summary = append([]string{}, p.Summary...)
	p.Problems = append([]cluster.Problem{}, p.Problems...)
	return p
}

// previewed finds the cluster that a preview is about: with no id, the one that the create would take over, else a new
// one.
func (h *Hub) previewed(
	ctx context.Context, project string, p hubapi.ClusterPreview,
) (*clusterDoc, *cluster.Problem, error) {
	if p.ID != "" {
		d, err := h.loadCluster(ctx, project, p.ID)
		if err == nil && d.DeletedAt != nil {
			return nil, new(problemAt("", "%s", deleting(d).Detail)), nil
		}
		return d, nil, err
	}
	named, err := list[cluster.Spec, hubapi.ClusterStatus](
		ctx, h.store, store.KindCluster, store.Filter{Project: project, Name: p.Spec.Name})
	if err != nil {
		return nil, nil, err
	}
	if p.Spec.Name == "" || len(named) == 0 {
		id := uuid.NewString()
		return newDocument[cluster.Spec, hubapi.ClusterStatus](store.KindCluster, project, id, p.Spec.Name, h.now()), nil, nil
	}
	d := named[0]
	if refused := mayAdopt(d, p.Spec); refused != nil {
		text := refused.Detail
		if refused.Hint != "" {
			text += ". " + refused.Hint
		}
		return nil, new(problemAt("/name", "%s", text)), nil
	}
	return d, nil, nil
}
