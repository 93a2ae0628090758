package policy_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
)

func TestReach(t *testing.T) {
	parse := func(text string) *policy.Policy {
		p, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	none, narrow := parse(""), parse("allow_cidrs: [10.0.0.0/8, 127.0.0.0/8]\ndeny_cidrs: [10.9.0.0/16]")
	six := parse("allow_cidrs: ['2001:db8::/32', '::ffff:192.0.2.0/120']")
	cases := map[string]struct {
		reason string
		policy *policy.Policy
		addr   string
		may    bool
	}{
		"Private":          {"a vCenter's usual place", none, "10.1.2.3", true},
		"Public":           {"a vCenter may be anywhere", none, "203.0.113.5", true},
		"IPv6":             {"and have a newer address", none, "2001:db8::5", true},
		"UniqueLocal":      {"or a private one of the newer kind", none, "fd00::5", true},
		"Loopback":         {"the gateway's own machine", none, "127.0.0.1", false},
		"LoopbackOther":    {"all of 127/8 is", none, "127.9.9.9", false},
		"LoopbackSix":      {"and ::1", none, "::1", false},
		"LoopbackMapped":   {"in disguise, too", none, "::ffff:127.0.0.1", false},
		"LoopbackNAT64":    {"whatever the disguise", none, "64:ff9b::7f00:1", false},
		"Loopback6to4":     {"6to4 is one", none, "2002:7f00:1::", false},
		"Compatible":       {"and the oldest one", none, "::127.0.0.1", false},
		"Metadata":         {"a cloud's metadata", none, "169.254.169.254", false},
		"MetadataMapped":   {"and its disguise", none, "::ffff:169.254.169.254", false},
		"LinkLocal":        {"a neighbour without an address of its own", none, "fe80::1%eth0", false},
		"Multicast":        {"no single host", none, "224.0.0.1", false},
		"MulticastSix":     {"no single host", none, "ff02::1", false},
		"Unspecified":      {"it means this host", none, "0.0.0.0", false},
		"UnspecifiedSix":   {"it means this host", none, "::", false},
		"ThisNetwork":      {"all of 0/8 does", none, "0.1.2.3", false},
		"Broadcast":        {"everybody", none, "255.255.255.255", false},
		"Allowed":          {"the policy has it", narrow, "10.1.2.3", true},
		"AllowedLoopback":  {"whoever runs the gateway may want that", narrow, "127.0.0.1", true},
		"AllowedMapped":    {"the same in disguise", narrow, "::ffff:10.1.2.3", true},
		"Denied":           {"deny wins", narrow, "10.9.2.3", false},
		"DeniedMapped":     {"in disguise, too", narrow, "::ffff:10.9.2.3", false},
		"Outside":          {"what is not allowed is refused", narrow, "192.0.2.1", false},
		"AllowedSix":       {"newer networks", six, "2001:db8:1::1", true},
		"AllowedMappedNet": {"a network in disguise is the network", six, "192.0.2.77", true},
		"OutsideSix":       {"and no others", six, "2001:db9::1", false},
	}
	for name, tc := range cases {
		err := tc.policy.Reach(netip.MustParseAddr(tc.addr))
		if (err == nil) != tc.may {
			t.Errorf("%s: %s: %s: %v", name, tc.reason, tc.addr, err)
		}
		if _, ok := errors.AsType[*policy.RefusedError](err); !tc.may && !ok {
			t.Errorf("%s: the error is a %T", name, err)
		}
	}
	if none.Reach(netip.Addr{}) == nil {
		t.Error("no address at all may be reached")
	}
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   *policy.Policy
	}{
		"Empty": {"no file is no policy", "", &policy.Policy{}},
		"YAML": {
			"what people write", "vcenters: [VC.example.com, 'https://10.0.0.5:8443/sdk']\nread_only: true",
			&policy.Policy{VCenters: []string{"vc.example.com", "10.0.0.5:8443"}, ReadOnly: true},
		},
		"JSON": {
			"what programs write", `{"deny_cidrs": ["10.1.2.3/8"]}`,
			&policy.Policy{DenyCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		},
		"Misspelt": {"a word that is not known might have forbidden something", "read-only: true", nil},
		"Twice":    {"which one counts is not clear", "read_only: true\nread_only: false", nil},
		"Address":  {"a network has a length", "allow_cidrs: [10.0.0.0]", nil},
		"VCenter":  {"not the name of a vCenter", "vcenters: ['a b']", nil},
	}
	for name, tc := range cases {
		got, err := policy.Parse([]byte(tc.text))
		if (err != nil) != (tc.want == nil) {
			t.Errorf("%s: %s: %v", name, tc.reason, err)
		}
		if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s: %s", name, tc.reason, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("allow_cidrs: ['::ffff:1.2.3.4/97']"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := policy.Parse(text); err == nil {
			_ = p.Reach(netip.MustParseAddr("127.0.0.1"))
		}
	})
}
