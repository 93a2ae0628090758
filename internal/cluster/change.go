package cluster

// CheckChange checks the way from one spec to another: what can never change, and how far a version may move at once.
func CheckChange(old, next Spec) []Problem {
	var p problems
	for _, fixed := range []struct {
		field, why string
		changed    bool
	}{
		{"/name", "machines are named after it", old.Name != next.Name},
		{"/cloud_account_id", "the machines are in the account's vCenter", old.CloudAccountID != next.CloudAccountID},
		{"/datacenter", "the machines are in it", old.Datacenter != next.Datacenter},
		{"/folder", "the machines are in it, and it is what keeps their names unique", old.Folder != next.Folder},
		{"/control_plane_endpoint/host", "certificates and kubeconfigs carry it", old.Endpoint.Host != next.Endpoint.Host},
		{"/control_plane_endpoint/port", "every node and kubeconfig carries it", old.Endpoint.Port != next.Endpoint.Port},
		{"/cluster_network/pod_cidr", "nodes have their parts of it", old.Network.PodCIDR != next.Network.PodCIDR},
		{
			"/cluster_network/service_cidr", "services have their addresses from it",
			old.Network.ServiceCIDR != next.Network.ServiceCIDR,
		},
		{"/cluster_network/dns_domain", "every kubelet carries it", old.Network.DNSDomain != next.Network.DNSDomain},
	} {
		if fixed.changed {
			p.fail(fixed.field, "cannot change: %s. Make a new cluster instead.", fixed.why)
		}
	}
	p.versionChange(old.KubernetesVersion, next.KubernetesVersion)
	return p
}

func (p *problems) versionChange(oldText, newText string) {
	const field = "/kubernetes_version"
	from, err := parseVersion(oldText)
	if err != nil {
		return // What was accepted before cannot be judged by today's rules.
	}
	to, err := parseVersion(newText)
	if err != nil {
		return // Validate says so.
	}
	switch {
	case to.before(from):
		p.fail(field, "cannot go back from %s to %s: Kubernetes knows no downgrade", canonical(oldText), canonical(newText))
	case to.major != from.major, to.minor > from.minor+1:
		p.fail(field, "cannot go from %s to %s at once: Kubernetes is upgraded one minor version at a time",
			canonical(oldText), canonical(newText))
	}
}
