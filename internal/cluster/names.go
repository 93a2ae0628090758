package cluster

import (
	"path"
	"slices"
	"strings"
)

// sameName tells whether two names can mean one inventory object: each is a name, a part of a path, or a full path. An
// unknown one ("") is never held to differ, because nothing may be done to a machine on a guess.
func sameName(a, b string) bool {
	return a == "" || b == "" || a == b || strings.HasSuffix(a, "/"+b) || strings.HasSuffix(b, "/"+a)
}

// rootPool is the name vSphere gives every compute cluster's root resource pool.
const rootPool = "Resources"

func sameResourcePool(a, b string) bool {
	if a == "" || b == "" {
		return path.Base("/"+a+b) == rootPool || a == b
	}
	return sameName(a, b)
}

// same tells whether two placements mean the same place, however their objects are written.
func (p Placement) same(other Placement) bool {
	return sameName(p.ComputeCluster, other.ComputeCluster) &&
		sameResourcePool(p.ResourcePool, other.ResourcePool) &&
		sameName(p.Datastore, other.Datastore) &&
		slices.EqualFunc(p.Networks, other.Networks, sameName) &&
		p.IPPoolID == other.IPPoolID
}

// placementIndex returns where in the list a placement is, or -1. An equal one goes before one that is merely the same.
func placementIndex(placements []Placement, want Placement) int {
	exact := slices.IndexFunc(placements, func(p Placement) bool {
		return p.ComputeCluster == want.ComputeCluster && p.ResourcePool == want.ResourcePool &&
			p.Datastore == want.Datastore && slices.Equal(p.Networks, want.Networks) && p.IPPoolID == want.IPPoolID
	})
	if exact >= 0 {
		return exact
	}
	return slices.IndexFunc(placements, want.same)
}

// moved tells whether the machine is somewhere else than the placement says. Facts, where known, have the full paths.
func (m Machine) moved(facts *PlacementFacts) bool {
	if facts == nil {
		facts = &PlacementFacts{}
	}
	elsewhere := func(want, is string, found Lookup) bool { return !sameName(want, is) && found.Path != is }
	if elsewhere(m.Placement.ComputeCluster, m.ComputeCluster, facts.ComputeCluster) ||
		elsewhere(m.Placement.Datastore, m.Datastore, facts.Datastore) {
		return true
	}
	// An unnamed resource pool is the root pool of the compute cluster, and no pool below it.
	if m.ResourcePool == "" || facts.ResourcePool.Path == m.ResourcePool {
		return false
	}
	return !sameResourcePool(m.Placement.ResourcePool, m.ResourcePool)
}

// folderPath is the full inventory path of the cluster's folder.
func (s Spec) folderPath() string {
	datacenter := s.Datacenter
	if !strings.HasPrefix(datacenter, "/") {
		datacenter = "/" + datacenter
	}
	return path.Join(datacenter, "vm", s.Folder)
}

// field is the JSON pointer of the pool in the spec.
func (p NamedPool) field() string {
	if p.ControlPlane {
		return "/control_plane"
	}
	return "/worker_pools/" + escapePointer(p.Name)
}

// escapePointer escapes a key for a JSON pointer (RFC 6901).
func escapePointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
