package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxMachines bounds a pool; it is Kubernetes' own limit of nodes in a cluster.
const maxMachines = 5000

// nameGeneration is the generation machine names are given room for.
const nameGeneration = 99

// What kubeadm's preflight checks ask of a control plane machine.
const (
	kubeadmCPU       = 2
	kubeadmMemoryMiB = 1700
)

// memoryStep is the unit vSphere gives memory in.
const memoryStep = 4

func (p *problems) controlPlane(pool Pool) {
	if pool.Count != 1 && pool.Count != 3 && pool.Count != 5 {
		p.fail("/control_plane/count", "%d is none of 1, 3 and 5: etcd needs an odd number of members", pool.Count)
	}
	if pool.Count == 1 && pool.UpdateStrategy.MaxSurge == 0 && pool.UpdateStrategy.MaxUnavailable > 0 {
		p.fail("/control_plane/update_strategy/max_surge",
			"must be 1 for a single control plane machine: without a second one its data goes with it")
	}
	if pool.CPU > 0 && pool.CPU < kubeadmCPU {
		p.warn("/control_plane/cpu", "kubeadm wants at least %d CPUs for a control plane machine", kubeadmCPU)
	}
	if pool.MemoryMiB > 0 && pool.MemoryMiB < kubeadmMemoryMiB {
		p.warn("/control_plane/memory_mib", "kubeadm wants at least %d MiB for a control plane machine", kubeadmMemoryMiB)
	}
}

func (p *problems) pool(cluster string, pool NamedPool) {
	field := pool.field()
	if !pool.ControlPlane {
		p.poolName(field, pool.Name)
		if pool.Count < 0 || pool.Count > maxMachines {
			p.fail(field+"/count", "%d is not from 0 to %d", pool.Count, maxMachines)
		}
	}
	longest := MachineName(cluster, Identity{
		Pool: pool.Name, Ordinal: max(0, pool.Count-1), Generation: nameGeneration,
	})
	if len(longest) > maxNameLength && len(cluster) <= maxNameLength && len(pool.Name) <= maxNameLength {
		at := field
		if pool.ControlPlane {
			at = "/name"
		}
		p.fail(at, "machine names such as %s have %d characters; a host name has at most %d: shorten the name of the "+
			"cluster or of the pool", longest, len(longest), maxNameLength)
	}
	p.size(field, pool.Pool)
	p.strategy(field+"/update_strategy", pool.UpdateStrategy)
	p.placements(field+"/placements", pool.Placements)
	p.labels(field+"/labels", pool.Labels)
	p.annotations(field+"/annotations", pool.Annotations)
	p.taints(field+"/taints", pool.Taints)
}

func (p *problems) poolName(field, name string) {
	if name == ControlPlanePool || name == "cp" {
		p.fail(field, "a worker pool cannot be called %q: the control plane's machines are", name)
		return
	}
	p.label(field, "the pool's name", name)
}

func (p *problems) size(field string, pool Pool) {
	for _, size := range []struct {
		name  string
		value int
	}{{"cpu", pool.CPU}, {"memory_mib", pool.MemoryMiB}, {"disk_gib", pool.DiskGiB}} {
		if size.value < 1 {
			p.fail(field+"/"+size.name, "must be positive")
		}
	}
	if pool.MemoryMiB%memoryStep != 0 {
		p.fail(field+"/memory_mib", "%d is not a multiple of %d, which vSphere wants", pool.MemoryMiB, memoryStep)
	}
}

func (p *problems) strategy(field string, s UpdateStrategy) {
	switch {
	case s.MaxSurge < 0:
		p.fail(field+"/max_surge", "must not be negative")
	case s.MaxUnavailable < 0:
		p.fail(field+"/max_unavailable", "must not be negative")
	case s.MaxSurge == 0 && s.MaxUnavailable == 0:
		p.fail(field, "max_surge and max_unavailable cannot both be 0: nothing could ever be replaced")
	}
}

func (p *problems) placements(field string, placements []Placement) {
	if len(placements) == 0 {
		p.fail(field, "at least one placement is needed")
	}
	for i, placement := range placements {
		at := fmt.Sprintf("%s/%d", field, i)
		if placement.ComputeCluster == "" {
			p.fail(at+"/compute_cluster", "must not be empty")
		}
		if placement.Datastore == "" {
			p.fail(at+"/datastore", "must not be empty")
		}
		if len(placement.Networks) == 0 {
			p.fail(at+"/networks", "at least one network is needed")
		}
		for n, network := range placement.Networks {
			if network == "" {
				p.fail(fmt.Sprintf("%s/networks/%d", at, n), "must not be empty")
			}
		}
		if earlier := placementIndex(placements[:i], placement); earlier >= 0 {
			p.fail(at, "is the same as placement %d", earlier)
		}
	}
}

var (
	labelValue  = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`)
	taintEffect = []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}
)

// key checks a label, annotation or taint key: an optional DNS subdomain and "/", and a name.
func (p *problems) key(field, key string) {
	prefix, name, found := strings.Cut(key, "/")
	if !found {
		prefix, name = "", key
	}
	prefixOK := !found || len(prefix) <= 253 && dnsSubdomain.MatchString(prefix)
	if !prefixOK || name == "" || len(name) > maxNameLength || !labelValue.MatchString(name) {
		p.fail(field, "%q is not a key such as example.com/tier", key)
	}
}

func (p *problems) labels(field string, labels map[string]string) {
	for _, key := range sortedKeys(labels) {
		at := field + "/" + escapePointer(key)
		p.key(at, key)
		if value := labels[key]; len(value) > maxNameLength || !labelValue.MatchString(value) {
			p.fail(at, "%q is not a label value: letters, digits, '-', '_' and '.', at most %d", value, maxNameLength)
		}
	}
}

func (p *problems) annotations(field string, annotations map[string]string) {
	for _, key := range sortedKeys(annotations) {
		p.key(field+"/"+escapePointer(key), key)
	}
}

func (p *problems) taints(field string, taints []Taint) {
	for i, taint := range taints {
		at := fmt.Sprintf("%s/%d", field, i)
		p.key(at+"/key", taint.Key)
		if len(taint.Value) > maxNameLength || !labelValue.MatchString(taint.Value) {
			p.fail(at+"/value", "%q is not a taint value", taint.Value)
		}
		if !slices.Contains(taintEffect, taint.Effect) {
			p.fail(at+"/effect", "%q is none of %s", taint.Effect, strings.Join(taintEffect, ", "))
		}
		if slices.ContainsFunc(taints[:i], func(t Taint) bool { return t.Key == taint.Key && t.Effect == taint.Effect }) {
			p.fail(at, "a taint with this key and effect is there already")
		}
	}
}
