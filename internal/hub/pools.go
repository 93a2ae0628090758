package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/ippool"
)

// poolOf returns the pool with its addresses counted as of now: an address's rest ends without anybody writing it.
func (h *Hub) poolOf(d *poolDoc) hubapi.IPPool {
	parsed, _ := ippool.ParseSpec(d.Spec.Arithmetic()) // it was without mistakes when it was kept
	status := hubapi.CountLeases(d.Spec, parsed, d.Status.Leases, h.now())
	status.Since = d.Status.Since
	return hubapi.IPPool{Meta: d.meta(), Spec: d.Spec, Status: status}
}

func (h *Hub) loadPool(ctx context.Context, project, id string) (*poolDoc, error) {
	return load[hubapi.IPPoolSpec, hubapi.IPPoolStatus](ctx, h.store, store.KindIPPool, project, id)
}

func (h *Hub) pools(ctx context.Context, f store.Filter) ([]*poolDoc, error) {
	return list[hubapi.IPPoolSpec, hubapi.IPPoolStatus](ctx, h.store, store.KindIPPool, f)
}

func (h *Hub) listPools(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	docs, err := h.pools(r.Context(), store.Filter{Project: project, Name: r.URL.Query().Get("name")})
	if err != nil {
		return answer{}, err
	}
	items := make([]hubapi.IPPool, 0, len(docs))
	for _, d := range docs {
		items = append(items, h.poolOf(d))
	}
	return answer{body: hubapi.List[hubapi.IPPool]{Items: items}}, nil
}

func (h *Hub) getPool(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	d, err := h.loadPool(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return answer{generation: d.Generation, body: h.poolOf(d)}, nil
}

func (h *Hub) putPool(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id, body, o, err := readPut[hubapi.IPPoolWrite](w, r)
	if err != nil {
		return answer{}, err
	}
	// Whether pools overlap is known only while no other is written, and whether the gateway is there while it is not deleted.
	for _, name := range []string{"pools", "references"} {
		unlock, err := h.store.Lock(r.Context(), name)
		if err != nil {
			return answer{}, err
		}
		defer unlock()
	}
	d, created, err := h.writePool(r.Context(), project, id, body, o)
	if err != nil {
		return answer{}, err
	}
	return answer{status: statusOf(created), generation: d.Generation, body: h.poolOf(d)}, nil
}

func (h *Hub) writePool(
	ctx context.Context, project, id string, body hubapi.IPPoolWrite, o hubapi.WriteOptions,
) (d *poolDoc, created bool, err error) {
	body.Spec.GatewayID = h.gatewayID(body.Spec.GatewayID)
	for range maxTries {
		d, err = find[hubapi.IPPoolSpec, hubapi.IPPoolStatus](ctx, h.store, store.KindIPPool, project, id, body.Name, o.Create)
		if err != nil {
			return nil, false, err
		}
		created = d == nil
		switch {
		case d == nil:
			d = newDocument[hubapi.IPPoolSpec, hubapi.IPPoolStatus](store.KindIPPool, project, id, body.Name, h.now())
		case d.Name == body.Name && same(d.Spec, body.Spec):
			return d, false, nil
		case o.Create:
			return nil, false, exists(d.Record)
		case o.IfGeneration != 0 && o.IfGeneration != d.Generation:
			return nil, false, conflict(d.Record, o.IfGeneration)
		}
		problems, err := h.poolProblems(ctx, d, body)
		if err != nil {
			return nil, false, err
		}
		if err := refusal(problems); err != nil {
			return nil, false, err
		}
		moved := d.Spec.GatewayID != body.Spec.GatewayID
		d.Name, d.Spec = body.Name, body.Spec
		d.next()
		if moved {
			d.Status.Since = d.Generation
		}
		d.ObservedGeneration = d.Generation
		record, err := d.encode()
		if err != nil {
			return nil, false, err
		}
		err = h.store.Commit(ctx, store.Batch{Put: []*store.Record{record}})
		switch {
		case errors.Is(err, store.ErrStale): // the gateway reported leases in between: they have to be looked at
			continue
		case errors.Is(err, store.ErrNameTaken):
			return nil, false, h.nameTaken(ctx, record)
		default:
			return d, created, err
		}
	}
	return nil, false, store.ErrStale
}

func (h *Hub) previewPool(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	var body hubapi.IPPoolPreview
	if err := hubapi.ReadJSON(w, r, &body); err != nil {
		return answer{}, err
	}
	body.Write.Spec.GatewayID = h.gatewayID(body.Write.Spec.GatewayID)
	problems, err := h.previewProblems(r.Context(), project, body)
	if err != nil {
		return answer{}, err
	}
	problems = append(problems, h.overlapsBeside(project, body)...)
	if problems == nil {
		problems = []cluster.Problem{}
	}
	return answer{body: hubapi.List[cluster.Problem]{Items: problems}}, nil
}

func (h *Hub) previewProblems(ctx context.Context, project string, p hubapi.IPPoolPreview) ([]cluster.Problem, error) {
	fresh := func() *poolDoc {
		return newDocument[hubapi.IPPoolSpec, hubapi.IPPoolStatus](store.KindIPPool, project, p.ID, p.Write.Name, h.now())
	}
	if p.ID != "" {
		d, err := h.loadPool(ctx, project, p.ID)
		if errors.Is(err, hubapi.ErrNotFound) {
			d, err = fresh(), nil
		}
		if err != nil {
			return nil, err
		}
		return h.poolProblems(ctx, d, p.Write)
	}
	d := fresh()
	if p.Write.Name != "" {
		named, err := h.pools(ctx, store.Filter{Project: project, Name: p.Write.Name})
		if err != nil {
			return nil, err
		}
		if len(named) > 0 && !same(named[0].Spec, p.Write.Spec) {
			taken := exists(named[0].Record)
			return []cluster.Problem{problemAt("/name", "%s. %s", taken.Detail, taken.Hint)}, nil
		}
		if len(named) > 0 {
			d = named[0] // the create will be resumed
		}
	}
	return h.poolProblems(ctx, d, p.Write)
}

// overlapsBeside finds pools that have addresses in common with others of the same plan.
func (h *Hub) overlapsBeside(project string, p hubapi.IPPoolPreview) []cluster.Problem {
	parsed, mistakes := ippool.ParseSpec(p.Write.Spec.Arithmetic())
	if len(mistakes) > 0 {
		return nil
	}
	var problems []cluster.Problem
	for _, w := range p.Beside {
		if h.gatewayID(w.Spec.GatewayID) != p.Write.Spec.GatewayID {
			continue
		}
		other := newDocument[hubapi.IPPoolSpec, hubapi.IPPoolStatus](store.KindIPPool, project, "", w.Name, h.now())
		other.Spec = w.Spec
		if problem, overlaps := overlap(project, p.Write.Spec, parsed, other); overlaps {
			problems = append(problems, problem)
		}
	}
	return problems
}

// poolProblems tells what is wrong with making the pool what is asked. It is what a preview shows and what a write
// refuses.
func (h *Hub) poolProblems(ctx context.Context, d *poolDoc, w hubapi.IPPoolWrite) ([]cluster.Problem, error) {
	var problems []cluster.Problem
	if err := checkName(w.Name); err != nil {
		problems = append(problems, problemAt("/name", "%s", hubapi.AsProblem(err).Detail))
	}
	if err := h.checkGateway(ctx, d.Project, w.Spec.GatewayID); err != nil {
		p, ok := errors.AsType[*hubapi.Problem](gatewayInvalid(w.Spec.GatewayID, err))
		if !ok {
			return nil, err
		}
		problems = append(problems, problemAt(p.Field, "%s", p.Detail))
	}
	problems = append(problems, checkNetworking(w.Spec)...)
	parsed, mistakes := ippool.ParseSpec(w.Spec.Arithmetic())
	for _, m := range mistakes {
		problems = append(problems, problemAt(m.Field, "%s", m.Message))
	}
	if len(mistakes) > 0 {
		return problems, nil
	}
	problems = append(problems, lostLeases(d, w.Spec, parsed)...)
	held, err := h.heldByWork(ctx, d, w.Spec)
	if err != nil {
		return nil, err
	}
	problems = append(problems, held...)
	others, err := h.pools(ctx, store.Filter{})
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if other.ID == d.ID || other.Spec.GatewayID != w.Spec.GatewayID {
			continue
		}
		if p, overlaps := overlap(d.Project, w.Spec, parsed, other); overlaps {
			problems = append(problems, p)
		}
	}
	return problems, nil
}

// addressField is the attribute that the addresses come from.
func addressField(s hubapi.IPPoolSpec) string {
	if s.Subnet != "" {
		return "/subnet"
	}
	return "/ranges"
}

func checkNetworking(s hubapi.IPPoolSpec) []cluster.Problem {
	var problems []cluster.Problem
	for i, text := range s.NameServers {
		if _, err := netip.ParseAddr(text); err != nil {
			problems = append(problems, problemAt(fmt.Sprintf("/name_servers/%d", i), "%q is not an address", truncate(text)))
		}
	}
	for i, domain := range s.SearchDomains {
		if domain == "" || strings.ContainsAny(domain, " \t\n,;\"'\\") {
			problems = append(problems, problemAt(fmt.Sprintf("/search_domains/%d", i), "%q is not a domain", truncate(domain)))
		}
	}
	if s.CooldownSeconds < 0 {
		problems = append(problems, problemAt("/cooldown_seconds", "must not be negative"))
	}
	return problems
}

// heldByWork finds clusters that are being worked on and keep a pool at its gateway, which may lease an address of it at any
// moment.
func (h *Hub) heldByWork(ctx context.Context, d *poolDoc, s hubapi.IPPoolSpec) ([]cluster.Problem, error) {
	if d.Revision == 0 || d.Spec.GatewayID == s.GatewayID {
		return nil, nil
	}
	busy, err := h.clustersWhere(ctx, d.Project, func(c *clusterDoc) bool {
		holds := slices.ContainsFunc(d.Status.Leases, func(l hubapi.IPLease) bool { return l.ClusterID == c.ID })
		return unfinished(c) && (holds || slices.Contains(poolIDs(c.Spec), d.ID))
	})
	if err != nil || len(busy) == 0 {
		return nil, err
	}
	return []cluster.Problem{problemAt("/gateway_id", "cannot change while work is done on %s: wait for it to end",
		strings.Join(busy, ", "))}, nil
}

// lostLeases finds machines that hold an address which the pool would no longer have.
func lostLeases(d *poolDoc, s hubapi.IPPoolSpec, parsed ippool.Pool) []cluster.Problem {
	var problems []cluster.Problem
	for _, lease := range d.Status.Leases {
		if lease.ReleasedAt != nil {
			continue
		}
		addr, err := netip.ParseAddr(lease.Address)
		if err != nil || parsed.Contains(addr) {
			continue
		}
		problems = append(problems, problemAt(addressField(s),
			"machine %s has address %s, which would no longer be in the pool", lease.Machine, lease.Address))
	}
	return problems
}

func overlap(project string, s hubapi.IPPoolSpec, parsed ippool.Pool, other *poolDoc) (cluster.Problem, bool) {
	theirs, mistakes := ippool.ParseSpec(other.Spec.Arithmetic())
	if len(mistakes) > 0 {
		return cluster.Problem{}, false
	}
	addr, overlaps := parsed.Overlaps(theirs)
	if !overlaps {
		return cluster.Problem{}, false
	}
	whose := fmt.Sprintf("address pool %q (%s)", other.Name, other.ID)
	switch {
	case other.Project != project:
		whose = "an address pool of another project"
	case other.ID == "":
		whose = fmt.Sprintf("address pool %q of the same plan", other.Name)
	}
	return problemAt(addressField(s), "overlaps with %s on the same gateway: both have %s", whose, addr), true
}

func (h *Hub) deletePool(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx := r.Context()
	unlock, err := h.store.Lock(ctx, "references")
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	d, err := h.loadPool(ctx, project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	var leased []string
	for _, lease := range d.Status.Leases {
		if lease.ReleasedAt == nil {
			leased = append(leased, fmt.Sprintf("%s (%s)", lease.Machine, lease.Address))
		}
	}
	if len(leased) > 0 {
		return answer{}, inUse("address pool %q has addresses leased to %s", d.Name, strings.Join(leased, ", ")).
			WithHint("Delete these machines, or move their pools to another address pool, first.")
	}
	clusters, err := h.clustersWhere(ctx, project, func(c *clusterDoc) bool {
		return slices.Contains(poolIDs(c.Spec), d.ID)
	})
	if err != nil {
		return answer{}, err
	}
	if len(clusters) > 0 {
		return answer{}, inUse("address pool %q is used by %s", d.Name, strings.Join(clusters, ", ")).
			WithHint("Change or delete these clusters first.")
	}
	return answer{}, h.store.Commit(ctx, store.Batch{Remove: []*store.Record{d.Record}})
}
