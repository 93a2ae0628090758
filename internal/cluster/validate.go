package cluster

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// problems collects what a person has to know.
type problems []Problem

func (p *problems) fail(field, format string, args ...any) {
	*p = append(*p, Problem{Severity: SeverityError, Field: field, Message: fmt.Sprintf(format, args...)})
}

func (p *problems) warn(field, format string, args ...any) {
	*p = append(*p, Problem{Severity: SeverityWarning, Field: field, Message: fmt.Sprintf(format, args...)})
}

var (
	dnsLabel     = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	dnsSubdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// maxNameLength is the limit of a DNS label, which node names and host names have to keep.
const maxNameLength = 63

// Validate checks what can be known of a spec without a vCenter.
func Validate(spec Spec) []Problem {
	var p problems
	p.label("/name", "the name", spec.Name)
	for _, required := range []struct{ field, value string }{
		{"/cloud_account_id", spec.CloudAccountID},
		{"/datacenter", spec.Datacenter},
		{"/template", spec.Template},
	} {
		if required.value == "" {
			p.fail(required.field, "must not be empty")
		}
	}
	p.folder(spec.Folder)
	if _, err := parseVersion(spec.KubernetesVersion); err != nil {
		p.fail("/kubernetes_version", "%v", err)
	}
	if !slices.Contains([]CloneMode{"", CloneAuto, CloneLinked, CloneFull}, spec.CloneMode) {
		p.fail("/clone_mode", "%q is none of auto, linked and full", spec.CloneMode)
	}
	p.network(spec.Network, spec.Endpoint)
	p.access(spec)
	p.controlPlane(spec.ControlPlane)
	for _, pool := range spec.Pools() {
		p.pool(spec.Name, pool)
	}
	return p
}

func (p *problems) label(field, what, name string) {
	switch {
	case name == "":
		p.fail(field, "%s must not be empty", what)
	case len(name) > maxNameLength:
		p.fail(field, "%s has %d characters; a DNS label has at most %d", what, len(name), maxNameLength)
	case !dnsLabel.MatchString(name):
		p.fail(field, "%s %q must be lower-case letters, digits and inner hyphens", what, name)
	}
}

func (p *problems) folder(folder string) {
	if folder == "" {
		p.fail("/folder", "must not be empty: the cluster's machines need a folder of their own")
		return
	}
	for part := range strings.SplitSeq(folder, "/") {
		if part == "" || part == "." || part == ".." {
			p.fail("/folder", "%q is not a path below the datacenter's vm folder such as k8s/prod", folder)
			return
		}
	}
}

// The limits of kubeadm and of the Kubernetes API server and controller manager on a cluster's networks.
const (
	// serviceBits: a larger service network is refused by the API server.
	serviceBits = 20
	// serviceMinBits: kubeadm wants at least ten service addresses.
	serviceMinBits = 4
	// nodeMask4 and nodeMask6 are the networks each node gets of the pod network.
	nodeMask4, nodeMask6 = 24, 64
	// podMaxDiff is how much longer a node's mask may be than the pod network's.
	podMaxDiff = 16
)

func (p *problems) network(network Network, endpoint Endpoint) {
	pods, podsOK := p.cidr("/cluster_network/pod_cidr", network.PodCIDR)
	services, servicesOK := p.cidr("/cluster_network/service_cidr", network.ServiceCIDR)
	if podsOK {
		p.podSize(pods)
	}
	if servicesOK {
		p.serviceSize(services)
	}
	if podsOK && servicesOK {
		switch {
		case pods.Addr().Is4() != services.Addr().Is4():
			p.fail("/cluster_network/service_cidr", "%s and the pod network %s are not of one family", services, pods)
		case pods.Overlaps(services):
			p.fail("/cluster_network/service_cidr", "%s overlaps the pod network %s", services, pods)
		}
	}
	if !dnsSubdomain.MatchString(network.DNSDomain) {
		p.fail("/cluster_network/dns_domain", "%q is not a DNS domain such as cluster.local", network.DNSDomain)
	}
	if endpoint.Port < 1 || endpoint.Port > 65535 {
		p.fail("/control_plane_endpoint/port", "%d is not a port", endpoint.Port)
	}
	p.host("/control_plane_endpoint/host", endpoint.Host)
	if addr, err := netip.ParseAddr(endpoint.Host); err == nil {
		for _, taken := range []struct {
			ok     bool
			what   string
			prefix netip.Prefix
		}{{podsOK, "pod", pods}, {servicesOK, "service", services}} {
			if taken.ok && taken.prefix.Contains(addr) {
				p.fail("/control_plane_endpoint/host", "%s is inside the %s network %s", addr, taken.what, taken.prefix)
			}
		}
	}
}

func (p *problems) cidr(field, text string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		p.fail(field, "%q is not a network such as 10.244.0.0/16", text)
	case prefix != prefix.Masked():
		p.fail(field, "%q has host bits set: the network is %s", text, prefix.Masked())
	default:
		return prefix, true
	}
	return netip.Prefix{}, false
}

func (p *problems) podSize(pods netip.Prefix) {
	mask := nodeMask4
	if pods.Addr().Is6() {
		mask = nodeMask6
	}
	switch {
	case pods.Bits() > mask:
		p.fail("/cluster_network/pod_cidr", "%s is too small: each node takes a /%d of it", pods, mask)
	case mask-pods.Bits() > podMaxDiff:
		p.fail("/cluster_network/pod_cidr", "%s is too large: with /%d for each node, /%d is the largest",
			pods, mask, mask-podMaxDiff)
	}
}

func (p *problems) serviceSize(services netip.Prefix) {
	switch bits := services.Addr().BitLen() - services.Bits(); {
	case bits > serviceBits:
		p.fail("/cluster_network/service_cidr", "%s is too large: the API server takes at most a /%d",
			services, services.Addr().BitLen()-serviceBits)
	case bits < serviceMinBits:
		p.fail("/cluster_network/service_cidr", "%s is too small: kubeadm wants at least ten addresses", services)
	}
}

func (p *problems) host(field, host string) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast() || addr.Zone() != "" {
			p.fail(field, "%s is not an address other machines can reach", host)
		}
		return
	}
	if len(host) > 253 || !dnsSubdomain.MatchString(strings.ToLower(host)) {
		p.fail(field, "%q is neither an IP address nor a host name", host)
	}
}

func (p *problems) access(spec Spec) {
	for i, key := range spec.SSHAuthorizedKeys {
		if strings.ContainsAny(key, "\r\n") || len(strings.Fields(key)) < 2 {
			p.fail(fmt.Sprintf("/ssh_authorized_keys/%d", i), "is not one line such as \"ssh-ed25519 AAAA... name\"")
		}
	}
	for i, server := range spec.NTPServers {
		p.host(fmt.Sprintf("/ntp_servers/%d", i), server)
	}
}
