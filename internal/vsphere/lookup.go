package vsphere

import (
	"cmp"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// maxNear is how many names are offered when one is not found.
const maxNear = 5

// near returns the candidates most like a name, the nearest first.
func near(name string, candidates []string) []string {
	wanted := strings.ToLower(lastElement(name))
	distance := func(candidate string) int {
		return levenshtein.Distance(wanted, strings.ToLower(lastElement(candidate)), nil)
	}
	sorted := slices.Clone(candidates)
	slices.SortFunc(sorted, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a, b))
	})
	return sorted[:min(maxNear, len(sorted))]
}

func lastElement(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// matches tells whether a name or path as a person writes it means the node: its name, its full path, or the last
// elements of its path.
func (n *node) matches(name string) bool {
	if name == n.name || name == n.raw {
		return true
	}
	if !strings.Contains(name, "/") {
		return false
	}
	path := n.path()
	if strings.HasPrefix(name, "/") {
		return path == strings.TrimRight(name, "/")
	}
	return strings.HasSuffix(path, "/"+strings.TrimRight(name, "/"))
}

// pick returns the one candidate that a name means.
func pick(kind, name string, candidates []*node) (*node, error) {
	var found []*node
	for _, candidate := range candidates {
		if candidate.matches(name) {
			found = append(found, candidate)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &NotFoundError{Kind: kind, Name: name, Near: near(name, pathsOrNames(name, candidates))}
	}
	return nil, &AmbiguousError{Kind: kind, Name: name, Paths: pathsOf(found)}
}

// pathsOrNames offers full paths to who wrote a path, and names to who wrote a name.
func pathsOrNames(name string, nodes []*node) []string {
	if strings.HasPrefix(name, "/") {
		return pathsOf(nodes)
	}
	return slices.Compact(namesOf(nodes))
}

func pathsOf(nodes []*node) []string {
	paths := make([]string, len(nodes))
	for i, n := range nodes {
		paths[i] = n.path()
	}
	slices.Sort(paths)
	return paths
}

// findDatacenter finds a datacenter by name or path.
func (t *tree) findDatacenter(name string) (*node, error) {
	return pick("datacenter", name, t.of(typeDatacenter))
}

// within returns the nodes that lie in a datacenter; nil is all datacenters.
func within(datacenter *node, nodes []*node) []*node {
	if datacenter == nil {
		return nodes
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool {
		at := n.datacenter()
		return at == nil || at.ref != datacenter.ref
	})
}

// computeClusters are the compute clusters of a datacenter, standalone hosts included.
func (t *tree) computeClusters(datacenter *node) []*node {
	return within(datacenter, t.of(computeTypes...))
}

// networksFor are the networks of a datacenter, without uplinks. A name may be used twice, as on a standard and a
// distributed switch; then those that exist on the compute cluster's hosts are meant.
func (t *tree) networksFor(datacenter, compute *node, name string) []*node {
	all := slices.DeleteFunc(within(datacenter, t.of(networkTypes...)), isUplink)
	if compute == nil {
		return all
	}
	var fits []*node
	for _, n := range all {
		if n.matches(name) && onAnyHost(n, compute) {
			fits = append(fits, n)
		}
	}
	if len(fits) > 0 {
		return fits
	}
	return all
}

func onAnyHost(network, compute *node) bool {
	hosts := refsOf(compute.props, "host")
	for _, ref := range refsOf(network.props, "host") {
		if slices.Contains(hosts, ref) {
			return true
		}
	}
	return false
}

// findPool finds a resource pool of a compute cluster: "" is its root pool, else a name, a path below the root pool, or
// a full path.
func (t *tree) findPool(compute *node, name string) (*node, error) {
	pools := t.poolsOf(compute)
	root := refOf(compute.props, "resourcePool")
	if name == "" || strings.EqualFold(name, "Resources") {
		for _, pool := range pools {
			if root != nil && pool.ref == *root {
				return pool, nil
			}
		}
		return nil, &NotFoundError{Kind: "resource pool", Name: "Resources"}
	}
	base := compute.path() + "/Resources/"
	for _, pool := range pools {
		if pool.path() == base+strings.Trim(name, "/") {
			return pool, nil
		}
	}
	return pick("resource pool", name, pools)
}

func (t *tree) poolsOf(compute *node) []*node {
	return slices.DeleteFunc(t.of(poolTypes...), func(n *node) bool {
		owner := refOf(n.props, "owner")
		return owner == nil || *owner != compute.ref
	})
}

// lookup turns the outcome of finding into what a plan shows.
func lookup(found *node, err error) cluster.Lookup {
	switch e := err.(type) { //nolint:errorlint // exactly what pick returns
	case nil:
		return cluster.Lookup{Path: found.path()}
	case *NotFoundError:
		return cluster.Lookup{Near: e.Near}
	case *AmbiguousError:
		return cluster.Lookup{Near: e.Paths, Ambiguous: true}
	}
	return cluster.Lookup{}
}
