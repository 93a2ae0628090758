package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// ErrInvalid says that a Machine cannot be booted as described.
var ErrInvalid = errors.New("invalid machine")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// defaultPort is where kubeadm lets an API server listen unless told otherwise.
const defaultPort = 6443

// plan is a Machine that has been checked, with what follows from it.
type plan struct {
	Machine
	version version
	// families are those of the service CIDR, the cluster's primary one first.
	families []family
	// vip is the endpoint's address when kube-vip holds it; invalid when a load balancer is assumed.
	vip netip.Addr
	// port is where clients find the API server, bindPort where it listens.
	port, bindPort int
}

func (p plan) controlPlane() bool { return p.Join != cluster.JoinWorker }

func (p plan) endpoint() string { return net.JoinHostPort(p.Endpoint.Host, strconv.Itoa(p.port)) }

// family is an address family; its value is netplan's and cloud-init's digit.
type family int

const (
	ipv4 family = 4
	ipv6 family = 6
)

func familyOf(a netip.Addr) family {
	if a.Unmap().Is4() {
		return ipv4
	}
	return ipv6
}

// version is a Kubernetes version as far as decisions need it.
type version struct{ major, minor int }

func (v version) atLeast(major, minor int) bool { //nolint:unparam // A version is compared as it is written.
	return v.major > major || v.major == major && v.minor >= minor
}

var (
	versionForm = regexp.MustCompile(`^v(\d{1,4})\.(\d{1,4})\.\d{1,6}([-+][0-9A-Za-z.+-]+)?$`)
	nameForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	hostForm    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
)

func parseVersion(text string) (version, error) {
	parts := versionForm.FindStringSubmatch(text)
	if parts == nil {
		return version{}, invalid("Kubernetes version %q is not of the form v1.34.1", text)
	}
	major, err := strconv.Atoi(parts[1])
	if err != nil {
		return version{}, invalid("Kubernetes version %q: %w", text, err)
	}
	minor, err := strconv.Atoi(parts[2])
	if err != nil {
		return version{}, invalid("Kubernetes version %q: %w", text, err)
	}
	return version{major: major, minor: minor}, nil
}

// newPlan refuses what would fail inside the guest, where nobody sees it.
func newPlan(m Machine) (plan, error) {
	p := plan{Machine: m}
	joins := []cluster.JoinMode{cluster.JoinInit, cluster.JoinControlPlane, cluster.JoinWorker}
	switch {
	case !nameForm.MatchString(m.Name):
		return plan{}, invalid("name %q is not a host name", m.Name)
	case m.ClusterName == "":
		return plan{}, invalid("the cluster has no name")
	case m.InstanceUUID == "":
		return plan{}, invalid("%s has no instance UUID", m.Name)
	case !slices.Contains(joins, m.Join):
		return plan{}, invalid("unknown join mode %q", m.Join)
	}
	var err error
	if p.version, err = parseVersion(m.KubernetesVersion); err != nil {
		return plan{}, err
	}
	if err := p.setEndpoint(); err != nil {
		return plan{}, err
	}
	if p.families, err = families(m.Network.ServiceCIDR); err != nil {
		return plan{}, err
	}
	if err := checkNode(m.Node); err != nil {
		return plan{}, err
	}
	for _, text := range slices.Concat(m.SSHAuthorizedKeys, m.NTPServers) {
		if text == "" || strings.ContainsFunc(text, unicode.IsControl) {
			return plan{}, invalid("an SSH key or NTP server is empty or more than one line")
		}
	}
	return p, p.checkInterfaces()
}

func (p *plan) setEndpoint() error {
	p.port = p.Endpoint.Port
	if p.port == 0 {
		p.port = defaultPort
	}
	if p.port < 1 || p.port > 65535 {
		return invalid("endpoint port %d is out of range", p.port)
	}
	addr, err := netip.ParseAddr(p.Endpoint.Host)
	switch {
	case err == nil && (addr.Zone() != "" || addr.IsUnspecified() || addr.IsLoopback() || addr.IsMulticast()):
		return invalid("endpoint %q is not an address that clients could reach", p.Endpoint.Host)
	case err == nil:
		// kube-vip adds an address and translates no ports.
		p.vip, p.bindPort = addr.Unmap(), p.port
	case hostForm.MatchString(p.Endpoint.Host):
		p.bindPort = defaultPort
	default:
		return invalid("endpoint %q is neither an IP address nor a host name", p.Endpoint.Host)
	}
	return nil
}

// families reads the address families of a CIDR, or of two with a comma between them.
func families(cidrs string) ([]family, error) {
	if cidrs == "" {
		return []family{ipv4}, nil // kubeadm's default service CIDR
	}
	var found []family
	for text := range strings.SplitSeq(cidrs, ",") {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return nil, invalid("service CIDR: %w", err)
		}
		if f := familyOf(prefix.Addr()); !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	return found, nil
}

func (p plan) checkInterfaces() error {
	if len(p.Interfaces) == 0 {
		return invalid("%s has no network card", p.Name)
	}
	for i, nic := range p.Interfaces {
		if err := nic.check(len(p.Interfaces)); err != nil {
			return fmt.Errorf("network card %d: %w", i, err)
		}
	}
	first := p.Interfaces[0]
	if len(first.Addresses) > 0 && !first.hasStatic(p.families[0]) {
		return invalid("the first network card has no IPv%d address, which the service CIDR asks for", p.families[0])
	}
	return nil
}

func (n Interface) check(cards int) error {
	if n.MAC == "" && cards > 1 {
		return invalid("it has no MAC address, and there are %d cards", cards)
	}
	if n.MAC != "" {
		if mac, err := net.ParseMAC(n.MAC); err != nil || len(mac) != 6 {
			return invalid("%q is not a MAC address", n.MAC)
		}
	}
	reachable := !n.Gateway.IsValid() || n.Gateway.IsLinkLocalUnicast()
	for _, prefix := range n.Addresses {
		if !prefix.IsValid() || prefix.Addr().IsUnspecified() || prefix.Addr().Zone() != "" {
			return invalid("%v is not an address with a prefix length", prefix)
		}
		reachable = reachable || prefix.Masked().Contains(n.Gateway)
	}
	if len(n.Addresses) == 0 && n.Gateway.IsValid() {
		return invalid("a gateway needs static addresses")
	}
	if !reachable {
		return invalid("gateway %v is in none of the card's networks", n.Gateway)
	}
	for _, server := range n.NameServers {
		if !server.IsValid() {
			return invalid("it has an empty name server")
		}
	}
	return nil
}

func (n Interface) hasStatic(f family) bool {
	return slices.ContainsFunc(n.Addresses, func(a netip.Prefix) bool { return familyOf(a.Addr()) == f })
}
