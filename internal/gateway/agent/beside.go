package agent

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// beside tells whether a URL that a hub names can be that of another of its instances, so that a hub that lies cannot have
// the gateway knock at every door of the private network: it is on the same machine as the common URL, on the same port of
// a name under the same domain, or the one who runs the gateway allows its host.
func beside(common, own string, allowed []string) bool {
	to, err := url.Parse(own)
	from, fromErr := url.Parse(common)
	switch {
	case err != nil || fromErr != nil || to.Hostname() == "" || to.User != nil:
		return false
	case to.RawQuery != "" || to.ForceQuery || to.Fragment != "" || to.Opaque != "":
		return false
	case to.Scheme != "https" && to.Scheme != from.Scheme:
		return false
	case strings.Trim(to.Path, "/") != "" && strings.Trim(to.Path, "/") != strings.Trim(from.Path, "/"):
		return false
	}
	host, known := strings.ToLower(to.Hostname()), strings.ToLower(from.Hostname())
	return host == known || slices.Contains(allowed, host) ||
		portOf(to) == portOf(from) && !isAddress(host) && !isAddress(known) && strings.HasSuffix(host, "."+domainOf(known))
}

// domainOf is what instances of a hub have in common: the name without its first label, or, where that would be a whole
// top-level domain, the name itself.
func domainOf(host string) string {
	if _, parent, ok := strings.Cut(host, "."); ok && strings.Contains(parent, ".") {
		return parent
	}
	return host
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
