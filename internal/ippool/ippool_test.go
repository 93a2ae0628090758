package ippool

import (
	"math"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func mustParse(t *testing.T, spec Spec) Pool {
	t.Helper()
	pool, errs := ParseSpec(spec)
	if len(errs) > 0 {
		t.Fatalf("ParseSpec(%+v): %v", spec, errs)
	}
	return pool
}

func TestPool(t *testing.T) {
	type want struct {
		Total    int
		First    string
		Contains []string
		Lacks    []string
	}
	tests := []struct {
		reason string
		spec   Spec
		want   want
	}{
		{
			reason: "A subnet gives all but its network, broadcast and gateway addresses.",
			spec:   Spec{Subnet: "10.0.0.0/29", Gateway: "10.0.0.1"},
			want: want{
				Total: 5, First: "10.0.0.2",
				Contains: []string{"10.0.0.6"}, Lacks: []string{"10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.0.8"},
			},
		},
		{
			reason: "A subnet that is a part of a larger network has no broadcast address of its own.",
			spec:   Spec{Subnet: "10.0.0.64/30", Prefix: 24, Gateway: "10.0.0.1"},
			want:   want{Total: 4, First: "10.0.0.64", Contains: []string{"10.0.0.67"}, Lacks: []string{"10.0.0.68"}},
		},
		{
			reason: "Both addresses of a /31 are usable.",
			spec:   Spec{Subnet: "10.0.0.0/31", Gateway: "10.0.0.0"},
			want:   want{Total: 1, First: "10.0.0.1", Lacks: []string{"10.0.0.0"}},
		},
		{
			reason: "Ranges are taken in ascending order, whatever the order they are written in.",
			spec: Spec{
				Ranges: []Span{{"10.0.0.50", "10.0.0.59"}, {"10.0.0.10", "10.0.0.12"}},
				Prefix: 24, Gateway: "10.0.0.1",
			},
			want: want{Total: 13, First: "10.0.0.10", Contains: []string{"10.0.0.59"}, Lacks: []string{"10.0.0.13"}},
		},
		{
			reason: "Excluded addresses, ranges and prefixes are not handed out.",
			spec: Spec{
				Ranges: []Span{{"10.0.0.10", "10.0.0.40"}}, Prefix: 24, Gateway: "10.0.0.1",
				Excluded: []string{"10.0.0.10", "10.0.0.15-10.0.0.19", "10.0.0.32/28"},
			},
			want: want{
				Total: 31 - 1 - 5 - 9, First: "10.0.0.11",
				Contains: []string{"10.0.0.14", "10.0.0.20", "10.0.0.31"},
				Lacks:    []string{"10.0.0.10", "10.0.0.15", "10.0.0.19", "10.0.0.32", "10.0.0.40"},
			},
		},
		{
			reason: "A range to the end of the address space does not wrap around.",
			spec: Spec{
				Ranges: []Span{{"255.255.255.240", "255.255.255.255"}}, Prefix: 24,
				Excluded: []string{"255.255.255.240-255.255.255.254"}, Gateway: "255.255.255.1",
			},
			want: want{},
		},
		{
			reason: "The total of an IPv6 /64 is clamped, and its subnet-router anycast address is left out.",
			spec:   Spec{Subnet: "2001:db8::/64", Gateway: "fe80::1"},
			want: want{
				Total: math.MaxInt, First: "2001:db8::1",
				Contains: []string{"2001:db8::ffff:ffff:ffff:ffff"}, Lacks: []string{"2001:db8::", "2001:db8:0:1::"},
			},
		},
		{
			reason: "The size of a /66 of IPv6 still fits.",
			spec:   Spec{Subnet: "2001:db8::/66", Gateway: "2001:db8::1"},
			want:   want{Total: 1<<62 - 2, First: "2001:db8::2"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			pool, errs := ParseSpec(tt.spec)
			if tt.want.First == "" {
				if len(errs) == 0 {
					t.Fatal("ParseSpec: want an error for a pool without addresses")
				}
				return
			}
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			first, _ := pool.Next(func(netip.Addr) bool { return false })
			got := want{Total: pool.Total(), First: first.String(), Contains: tt.want.Contains, Lacks: tt.want.Lacks}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for _, text := range tt.want.Contains {
				if !pool.Contains(addr(text)) {
					t.Errorf("Contains(%s) = false", text)
				}
			}
			for _, text := range tt.want.Lacks {
				if pool.Contains(addr(text)) {
					t.Errorf("Contains(%s) = true", text)
				}
			}
		})
	}
}

func TestOverlaps(t *testing.T) {
	tests := []struct {
		reason string
		a, b   Spec
		want   string
	}{
		{
			reason: "Pools on one network with separate ranges do not overlap.",
			a:      Spec{Ranges: []Span{{"10.0.0.10", "10.0.0.19"}}, Prefix: 24},
			b:      Spec{Ranges: []Span{{"10.0.0.20", "10.0.0.29"}}, Prefix: 24},
		},
		{
			reason: "The lowest common address is named.",
			a:      Spec{Ranges: []Span{{"10.0.0.10", "10.0.0.19"}, {"10.0.0.40", "10.0.0.50"}}, Prefix: 24},
			b:      Spec{Ranges: []Span{{"10.0.0.20", "10.0.0.42"}}, Prefix: 24},
			want:   "10.0.0.40",
		},
		{
			reason: "An excluded part of a subnet may be another pool.",
			a:      Spec{Subnet: "10.0.0.0/24", Excluded: []string{"10.0.0.20-10.0.0.29"}},
			b:      Spec{Ranges: []Span{{"10.0.0.20", "10.0.0.29"}}, Prefix: 24},
		},
		{
			reason: "IPv4 and IPv6 never overlap.",
			a:      Spec{Subnet: "10.0.0.0/24"},
			b:      Spec{Subnet: "2001:db8::/64"},
		},
		{
			reason: "Large IPv6 pools are compared without enumerating them.",
			a:      Spec{Subnet: "2001:db8::/32"},
			b:      Spec{Subnet: "2001:db8:ffff::/64"},
			want:   "2001:db8:ffff::1",
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			a, b := mustParse(t, tt.a), mustParse(t, tt.b)
			for _, pair := range [][2]Pool{{a, b}, {b, a}} {
				common, ok := pair[0].Overlaps(pair[1])
				got := ""
				if ok {
					got = common.String()
				}
				if got != tt.want {
					t.Errorf("Overlaps = %q, want %q", got, tt.want)
				}
			}
		})
	}
}

func TestNextInLargePool(t *testing.T) {
	pool := mustParse(t, Spec{Subnet: "2001:db8::/64", Gateway: "2001:db8::1"})
	taken := map[netip.Addr]bool{addr("2001:db8::2"): true, addr("2001:db8::3"): true}
	asked := 0
	got, ok := pool.Next(func(a netip.Addr) bool {
		asked++
		return taken[a]
	})
	if !ok || got != addr("2001:db8::4") || asked != 3 {
		t.Errorf("Next = %v, %v after %d questions, want 2001:db8::4 after 3", got, ok, asked)
	}
}

func TestZeroPool(t *testing.T) {
	var pool Pool
	if _, ok := pool.Next(func(netip.Addr) bool { return false }); ok || pool.Total() != 0 || pool.Contains(addr("10.0.0.1")) {
		t.Error("the zero pool has addresses")
	}
}
