package ippool

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSpecErrors(t *testing.T) {
	v4 := []Span{{"10.0.0.10", "10.0.0.20"}}
	tests := []struct {
		reason string
		spec   Spec
		want   []string // fields at fault
	}{
		{"Neither ranges nor a subnet.", Spec{Prefix: 24}, []string{""}},
		{"Both ranges and a subnet.", Spec{Ranges: v4, Subnet: "10.0.0.0/24"}, []string{"/subnet"}},
		{"A subnet that does not parse.", Spec{Subnet: "10.0.0.0"}, []string{"/subnet"}},
		{"A subnet with host bits.", Spec{Subnet: "10.0.0.7/24"}, []string{"/subnet"}},
		{"A subnet of everything.", Spec{Subnet: "0.0.0.0/0"}, []string{"/subnet"}},
		{"Multicast is no machine's address.", Spec{Subnet: "224.0.0.0/24"}, []string{"/subnet"}},
		{
			"Both ends of a range are reported at once.",
			Spec{Ranges: []Span{{"x", "fe80::1%eth0"}}, Prefix: 24},
			[]string{"/ranges/0/start", "/ranges/0/end"},
		},
		{"Start after end.", Spec{Ranges: []Span{{"10.0.0.9", "10.0.0.8"}}, Prefix: 24}, []string{"/ranges/0/end"}},
		{"Mixed families in a range.", Spec{Ranges: []Span{{"10.0.0.9", "2001:db8::1"}}, Prefix: 24}, []string{"/ranges/0/end"}},
		{
			"Mixed families among ranges.",
			Spec{Ranges: append([]Span{{"2001:db8::1", "2001:db8::2"}}, v4...), Prefix: 24},
			[]string{"/ranges/1"},
		},
		{"Ranges that overlap each other.", Spec{Ranges: append(v4, v4...), Prefix: 24}, []string{"/ranges/1"}},
		{"IPv4 in IPv6 form.", Spec{Ranges: []Span{{"::ffff:10.0.0.1", "10.0.0.2"}}, Prefix: 24}, []string{"/ranges/0/start"}},
		{"Ranges need a prefix length.", Spec{Ranges: v4}, []string{"/prefix"}},
		{"A prefix length beyond the family's.", Spec{Ranges: v4, Prefix: 33}, []string{"/prefix"}},
		{"A negative prefix length.", Spec{Subnet: "10.0.0.0/24", Prefix: -1}, []string{"/prefix"}},
		{"A subnet wider than the prefix length.", Spec{Subnet: "10.0.0.0/24", Prefix: 25}, []string{"/prefix"}},
		{"A range wider than the prefix length.", Spec{Ranges: v4, Prefix: 30}, []string{"/ranges/0"}},
		{
			"A range on another network than the first.",
			Spec{Ranges: append(v4, Span{"10.0.1.1", "10.0.1.2"}), Prefix: 24},
			[]string{"/ranges/1"},
		},
		{"A gateway that does not parse.", Spec{Ranges: v4, Prefix: 24, Gateway: "gw"}, []string{"/gateway"}},
		{"A gateway outside the network.", Spec{Ranges: v4, Prefix: 24, Gateway: "10.0.1.1"}, []string{"/gateway"}},
		{"A gateway of another family.", Spec{Ranges: v4, Prefix: 24, Gateway: "2001:db8::1"}, []string{"/gateway"}},
		{"A gateway at the broadcast address.", Spec{Ranges: v4, Prefix: 24, Gateway: "10.0.0.255"}, []string{"/gateway"}},
		{
			"Exclusions outside the pool, malformed, and reversed.",
			Spec{Ranges: v4, Prefix: 24, Excluded: []string{"10.0.0.9", "10.0.0.15", "1-2", "10.0.0.12-10.0.0.11", "x/y"}},
			[]string{"/excluded/0", "/excluded/2", "/excluded/3", "/excluded/4"},
		},
		{"An exclusion of mixed families.", Spec{Ranges: v4, Prefix: 24, Excluded: []string{"10.0.0.9-::5"}}, []string{"/excluded/0"}},
		{"Nothing is left.", Spec{Ranges: v4, Prefix: 24, Excluded: []string{"10.0.0.0/24"}}, []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			pool, errs := ParseSpec(tt.spec)
			var got []string
			for _, err := range errs {
				got = append(got, err.Field)
				if err.Message == "" || err.Error() == "" {
					t.Errorf("%q: no message", err.Field)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("fields -want +got:\n%s", diff)
			}
			if pool.Total() != 0 {
				t.Error("a spec with mistakes gave a usable pool")
			}
		})
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add("10.0.0.10", "10.0.0.20", "", "10.0.0.12-10.0.0.13", 24, "10.0.0.1")
	f.Add("", "", "10.0.0.0/29", "10.0.0.4/30", 0, "10.0.0.1")
	f.Add("", "", "2001:db8::/64", "2001:db8::5", 64, "fe80::1")
	f.Add("255.255.255.250", "255.255.255.255", "", "255.255.255.252/30", 8, "")
	f.Add("fe80::1%e", "::ffff:1.2.3.4", "::/1", "1.2.3.4-", 200, "x")
	f.Fuzz(func(t *testing.T, start, end, subnet, excluded string, prefix int, gateway string) {
		spec := Spec{Subnet: subnet, Prefix: prefix, Gateway: gateway}
		if start != "" || end != "" {
			spec.Ranges = []Span{{start, end}}
		}
		if excluded != "" {
			spec.Excluded = []string{excluded}
		}
		pool, errs := ParseSpec(spec)
		if len(errs) > 0 {
			return
		}
		if pool.Total() < 1 {
			t.Fatalf("%+v was accepted and has no address", spec)
		}
		next, ok := pool.Next(func(netip.Addr) bool { return false })
		if !ok || !pool.Contains(next) || next == pool.Gateway() || !pool.Network().Contains(next) {
			t.Fatalf("%+v: Next = %v, %v", spec, next, ok)
		}
	})
}
