package ippool

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// small draws pools inside one /26, IPv4 or IPv6, together with the naive set of their addresses.
func small(t *rapid.T, v6 bool, label string) (Spec, []netip.Addr) {
	base, bits := "10.0.0.", 26
	if v6 {
		base, bits = "2001:db8::", 122
	}
	at := func(n int) netip.Addr {
		if v6 {
			return netip.MustParseAddr(fmt.Sprintf("%s%x", base, n))
		}
		return netip.MustParseAddr(fmt.Sprintf("%s%d", base, n))
	}
	spec := Spec{Prefix: bits}
	in := map[netip.Addr]bool{}
	for n := rapid.IntRange(1, 20).Draw(t, label+"from"); n < 64 && len(spec.Ranges) < 3; {
		end := min(63, n+rapid.IntRange(0, 20).Draw(t, label+"len"))
		spec.Ranges = append(spec.Ranges, Span{at(n).String(), at(end).String()})
		for i := n; i <= end; i++ {
			in[at(i)] = true
		}
		n = end + rapid.IntRange(1, 20).Draw(t, label+"gap")
	}
	for range rapid.IntRange(0, 3).Draw(t, label+"exclusions") {
		from := rapid.IntRange(1, 63).Draw(t, label+"excluded")
		to := min(63, from+rapid.IntRange(0, 9).Draw(t, label+"excludedLen"))
		hits := false
		for i := from; i <= to; i++ {
			_, covered := in[at(i)]
			hits = hits || covered
		}
		if !hits {
			continue
		}
		spec.Excluded = append(spec.Excluded, at(from).String()+"-"+at(to).String())
		for i := from; i <= to; i++ {
			if _, covered := in[at(i)]; covered {
				in[at(i)] = false
			}
		}
	}
	gateway := rapid.IntRange(1, 62).Draw(t, label+"gateway")
	spec.Gateway = at(gateway).String()
	delete(in, at(gateway))
	if !v6 {
		delete(in, at(63))
	}
	var all []netip.Addr
	for a, usable := range in {
		if usable {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return spec, all
}

func TestAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		spec, model := small(t, v6, "a ")
		pool, errs := ParseSpec(spec)
		if len(model) == 0 {
			if len(errs) == 0 {
				t.Fatalf("an empty pool was accepted: %+v", spec)
			}
			return
		}
		if len(errs) > 0 {
			t.Fatalf("%+v: %v", spec, errs)
		}
		if pool.Total() != len(model) {
			t.Fatalf("Total = %d, want %d", pool.Total(), len(model))
		}
		taken := map[netip.Addr]bool{}
		for i, want := range model {
			got, ok := pool.Next(func(a netip.Addr) bool { return taken[a] })
			if !ok || got != want {
				t.Fatalf("address %d is %v, want %v", i, got, want)
			}
			taken[got] = true
		}
		if got, ok := pool.Next(func(a netip.Addr) bool { return taken[a] }); ok {
			t.Fatalf("a full pool gave %v", got)
		}
		for a := pool.Network().Addr(); pool.Network().Contains(a); a = a.Next() {
			if pool.Contains(a) != taken[a] {
				t.Fatalf("Contains(%v) = %v", a, pool.Contains(a))
			}
		}
	})
}

func TestOverlapsAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v6 := rapid.Bool().Draw(t, "v6")
		aSpec, aModel := small(t, v6, "a ")
		bSpec, bModel := small(t, v6, "b ")
		a, _ := ParseSpec(aSpec)
		b, _ := ParseSpec(bSpec)
		want := netip.Addr{}
		for _, addr := range aModel {
			if slices.Contains(bModel, addr) {
				want = addr
				break
			}
		}
		got, ok := a.Overlaps(b)
		if got != want || ok != want.IsValid() {
			t.Fatalf("Overlaps = %v, %v, want %v", got, ok, want)
		}
	})
}
