package bootstrap

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

const labelPart = `[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?`

// The forms of Kubernetes label keys and values. Taints have the same.
var (
	labelKeyForm   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?` + labelPart + `$`)
	labelValueForm = regexp.MustCompile(`^(` + labelPart + `)?$`)
	taintEffects   = []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}
)

func checkNode(n cluster.NodeMetadata) error {
	for key, value := range n.Labels {
		if !labelKeyForm.MatchString(key) || !labelValueForm.MatchString(value) {
			return invalid("%q = %q is not a Kubernetes label", key, value)
		}
	}
	for _, t := range n.Taints {
		if !labelKeyForm.MatchString(t.Key) || !labelValueForm.MatchString(t.Value) ||
			!slices.Contains(taintEffects, t.Effect) {
			return invalid("%s=%s:%s is not a Kubernetes taint", t.Key, t.Value, t.Effect)
		}
	}
	return nil
}

// kubeletLabels are the labels of the Kubernetes name spaces that a kubelet may give its own node.
var kubeletLabels = []string{
	"beta.kubernetes.io/arch",
	"beta.kubernetes.io/instance-type",
	"beta.kubernetes.io/os",
	"failure-domain.beta.kubernetes.io/region",
	"failure-domain.beta.kubernetes.io/zone",
	"kubernetes.io/arch",
	"kubernetes.io/hostname",
	"kubernetes.io/os",
	"node.kubernetes.io/instance-type",
	"topology.kubernetes.io/region",
	"topology.kubernetes.io/zone",
}

// SplitLabels divides a node's labels into those its kubelet registers with, which are part of the payload, and
// those a kubelet may not give itself, such as node-role.kubernetes.io/worker: a kubelet told to refuses to start,
// so somebody else has to write them once the node exists.
func SplitLabels(labels map[string]string) (registered, deferred map[string]string) {
	registered, deferred = map[string]string{}, map[string]string{}
	for key, value := range labels {
		if kubeletMaySet(key) {
			registered[key] = value
		} else {
			deferred[key] = value
		}
	}
	return registered, deferred
}

func kubeletMaySet(key string) bool {
	space, _, ok := strings.Cut(key, "/")
	if !ok || !within(space, "kubernetes.io", "k8s.io") {
		return true
	}
	return slices.Contains(kubeletLabels, key) || within(space, "kubelet.kubernetes.io", "node.kubernetes.io")
}

func within(space string, domains ...string) bool {
	return slices.ContainsFunc(domains, func(d string) bool { return space == d || strings.HasSuffix(space, "."+d) })
}

// nodeLabels is the value of the kubelet's argument node-labels.
func nodeLabels(labels map[string]string) string {
	registered, _ := SplitLabels(labels)
	pairs := make([]string, 0, len(registered))
	for _, key := range slices.Sorted(maps.Keys(registered)) {
		pairs = append(pairs, key+"="+registered[key])
	}
	return strings.Join(pairs, ",")
}

// controlPlaneTaint is what kubeadm gives control planes unless it is told any taints.
var controlPlaneTaint = cluster.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}

// nodeTaints are the taints to tell kubeadm; nil leaves it to kubeadm.
func (p plan) nodeTaints() []cluster.Taint {
	taints := slices.Clone(p.Node.Taints)
	if p.controlPlane() && len(taints) > 0 && !slices.Contains(taints, controlPlaneTaint) {
		taints = slices.Insert(taints, 0, controlPlaneTaint)
	}
	return taints
}
