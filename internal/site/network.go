package site

import (
	"net"
	"os/exec"
	"testing"
	"time"
)

// The addresses are of the ranges for documentation, except the vCenter's, which is one of the private network.
const (
	hubAddress     = "203.0.113.1"
	outsideAddress = "203.0.113.2"
	uplinkAddress  = "198.51.100.1"
	gatewayAddress = "198.51.100.2"
	vcenterAddress = "10.20.0.5"
)

// network is three namespaces in a row: Terraform outside, the hub in the middle, gateway and vCenter in the private one,
// which can dial out to the hub and cannot be dialled.
type network struct {
	outside, middle, private Place
	tb                       testing.TB
}

// NeedPlaces skips a test where this process may not make network namespaces.
func NeedPlaces(tb testing.TB) {
	tb.Helper()
	if err := canMakePlaces(); err != nil {
		tb.Skip(err)
	}
}

func newNetwork(tb testing.TB) *network {
	tb.Helper()
	n := &network{tb: tb, outside: newPlace(tb, "outside"), middle: newPlace(tb, "hub"), private: newPlace(tb, "private")}
	ip := func(place Place, args ...string) {
		tb.Helper()
		run(tb, Here, append([]string{"ip", "-n", place.namespace}, args...)...)
	}
	join := func(a Place, aLink, aAddress string, b Place, bLink, bAddress string) {
		tb.Helper()
		run(tb, Here, "ip", "link", "add", aLink, "netns", a.namespace, "type", "veth", "peer", "name", bLink, "netns", b.namespace)
		ip(a, "addr", "add", aAddress+"/30", "dev", aLink)
		ip(b, "addr", "add", bAddress+"/30", "dev", bLink)
		ip(a, "link", "set", aLink, "up")
		ip(b, "link", "set", bLink, "up")
	}
	join(n.middle, "front", hubAddress, n.outside, "hub", outsideAddress)
	join(n.middle, "back", uplinkAddress, n.private, "uplink", gatewayAddress)
	ip(n.private, "route", "add", "default", "via", uplinkAddress)
	ip(n.private, "addr", "add", vcenterAddress+"/32", "dev", "lo")
	// Outside can send to wherever it likes by way of the hub's machine, which forwards nothing and knows no way.
	ip(n.outside, "route", "add", "default", "via", hubAddress)
	n.closeInwards()
	return n
}

// closeInwards lets nobody dial into the private network. Without nft, having no way in has to do.
func (n *network) closeInwards() {
	n.tb.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		return
	}
	rules := `table inet site {
	chain input {
		type filter hook input priority 0; policy drop;
		iif lo accept
		ct state established,related accept
	}
}`
	run(n.tb, n.private, "nft", rules)
}

// CutUplink drops every packet between the private network and the hub, without a reset, until RestoreUplink.
func (s *Site) CutUplink() {
	s.tb.Helper()
	run(s.tb, Here, "ip", "-n", s.middle.namespace, "link", "set", "back", "down")
}

// RestoreUplink ends CutUplink.
func (s *Site) RestoreUplink() {
	s.tb.Helper()
	run(s.tb, Here, "ip", "-n", s.middle.namespace, "link", "set", "back", "up")
}

// Dial dials an address from one of the sides, outside, hub or private, and hangs up.
func (s *Site) Dial(from, address string) error {
	place := map[string]Place{"outside": s.outside, "hub": s.middle, "private": s.private}[from]
	return place.do(func() error {
		conn, err := net.DialTimeout("tcp", address, dialLimit)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// dialLimit is how long nobody may answer until an address counts as one that cannot be reached.
const dialLimit = 2 * time.Second
