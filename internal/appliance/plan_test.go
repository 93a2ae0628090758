package appliance

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// lines are the rounds as text, such as "clone 0/1" for the first VM of ordinal 0.
func lines(all []round) [][]string {
	var out [][]string
	for _, r := range all {
		var line []string
		for _, s := range r {
			generation := s.machine.Generation
			if s.action == clone {
				generation = s.identity.Generation
			}
			line = append(line, fmt.Sprintf("%s %d/%d", s.action, s.ordinal, generation))
		}
		out = append(out, line)
	}
	return out
}

func specFor(replicas int, change ...func(*Spec)) Spec {
	s := Spec{
		GatewayID: "gw", Name: "north", Datacenter: "dc", Folder: "f", ComputeCluster: "c", Datastore: "d", Network: "n", Template: "t",
		CPU: 2, MemoryMiB: 2048, DiskGiB: 20, Replicas: replicas,
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// made is a VM as an apply of the spec leaves it.
func made(s Spec, ordinal, generation int, change ...func(*cluster.Machine)) cluster.Machine {
	id := s.identity(ordinal, generation)
	m := cluster.Machine{
		Owner: cluster.Owner{Identity: id, Bootstrap: s.Digest()}, Name: cluster.MachineName(s.Name, id), UUID: id.InstanceUUID(),
		PowerState: "poweredOn", CPU: s.CPU, MemoryMiB: s.MemoryMiB, DiskGiB: s.DiskGiB,
	}
	for _, f := range change {
		f(&m)
	}
	return m
}

func addresses(texts ...string) func(*Spec) {
	return func(s *Spec) {
		for _, text := range texts {
			s.Addresses = append(s.Addresses, netip.MustParsePrefix(text))
		}
	}
}

func at(address string) func(*cluster.Machine) {
	return func(m *cluster.Machine) { m.Owner.Addresses = []string{address} }
}

func TestRounds(t *testing.T) {
	three, other := specFor(3), specFor(3, func(s *Spec) { s.Boot = "other" })
	all := []cluster.Machine{made(three, 0, 1), made(three, 1, 1), made(three, 2, 1)}
	static := specFor(1, addresses("10.0.0.1/24"))
	spare := specFor(1, addresses("10.0.0.1/24", "10.0.0.2/24"))
	trio := specFor(3, addresses("10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"))
	trioOld := func(n int) cluster.Machine {
		return made(trio, n, 1, at(fmt.Sprintf("10.0.0.%d", n+1)), func(m *cluster.Machine) { m.Bootstrap = "old" })
	}
	old := func(m *cluster.Machine) { m.Bootstrap = "old" }
	yes := func(string) bool { return true }
	cases := map[string]struct {
		reason   string
		spec     Spec
		machines []cluster.Machine
		joined   func(string) bool
		want     [][]string
	}{
		"New": {
			reason: "VMs that are missing are made together.",
			spec:   three, want: [][]string{{"clone 0/1", "clone 1/1", "clone 2/1"}},
		},
		"Nothing": {reason: "What is as asked is left alone.", spec: three, machines: all},
		"Rolling": {
			reason: "A successor is online before its predecessor goes, and one VM after the other.",
			spec:   other, machines: all,
			want: [][]string{{"clone 0/2"}, {"destroy 0/1"}, {"clone 1/2"}, {"destroy 1/1"}, {"clone 2/2"}, {"destroy 2/1"}},
		},
		"Interrupted": {
			reason: "An apply that was cut off between the two goes on with the second.",
			spec:   specFor(1), machines: []cluster.Machine{made(specFor(1), 0, 1, old), made(specFor(1), 0, 2)},
			want: [][]string{{"destroy 0/1"}},
		},
		"NeverJoined": {
			reason: "A VM that never became a replica is of no use and goes first.",
			spec:   specFor(1), machines: []cluster.Machine{made(specFor(1), 0, 1)}, joined: func(string) bool { return false },
			want: [][]string{{"destroy 0/1"}, {"clone 0/2"}},
		},
		"Resize": {
			reason: "Size changes in place, one VM after the other.",
			spec:   specFor(3, func(s *Spec) { s.CPU = 4 }), machines: all,
			want: [][]string{{"reconfigure 0/1"}, {"reconfigure 1/1"}, {"reconfigure 2/1"}},
		},
		"LargerDisk": {
			reason: "A disk that is larger than asked is left: it cannot shrink.",
			spec:   specFor(3, func(s *Spec) { s.DiskGiB = 10 }), machines: all,
		},
		"Off": {
			reason: "A VM that is off is powered on.",
			spec:   specFor(1), machines: []cluster.Machine{made(specFor(1), 0, 1, func(m *cluster.Machine) { m.PowerState = "poweredOff" })},
			want: [][]string{{"power on 0/1"}},
		},
		"Fewer": {
			reason: "Replicas that are one too many go last.",
			spec:   specFor(1), machines: all, want: [][]string{{"destroy 1/1", "destroy 2/1"}},
		},
		"Lost": {
			reason: "A VM that is gone is made again, before anything else is touched.",
			spec:   other, machines: []cluster.Machine{made(other, 0, 1), made(three, 2, 1)},
			want: [][]string{{"clone 1/1"}, {"clone 2/2"}, {"destroy 2/1"}},
		},
		"Copy": {
			reason: "A copy carries the record and is nobody's.",
			spec:   specFor(1), machines: []cluster.Machine{made(specFor(1), 0, 1, func(m *cluster.Machine) { m.UUID = "other" })},
			want: [][]string{{"clone 0/1"}},
		},
		"StaticWithSpare": {
			reason: "With an address to spare the successor comes up beside the VM it replaces.",
			spec:   spare, machines: []cluster.Machine{made(spare, 0, 1, old, at("10.0.0.1"))},
			want: [][]string{{"clone 0/2"}, {"destroy 0/1"}},
		},
		"StaticWithoutSpare": {
			reason: "Without one, a VM of several goes before its successor takes the address.",
			spec:   trio, machines: []cluster.Machine{trioOld(0), trioOld(1), trioOld(2)},
			want: [][]string{
				{"destroy 0/1"}, {"clone 0/2"}, {"destroy 1/1"}, {"clone 1/2"}, {"destroy 2/1"}, {"clone 2/2"},
			},
		},
		"StaticLast": {
			reason: "The last replica never goes first: it alone has the gateway's key.",
			spec:   static, machines: []cluster.Machine{made(static, 0, 1, old, at("10.0.0.1"))},
			want: [][]string{{"clone 0/2"}, {"destroy 0/1"}},
		},
		"MoreAddresses": {
			reason: "An address that is added, or another order, replaces nothing.",
			spec:   specFor(1, addresses("10.0.0.9/24", "10.0.0.1/24")), machines: []cluster.Machine{made(static, 0, 1, at("10.0.0.1"))},
		},
		"AddressTaken": {
			reason: "A VM whose address is not in the list any more is replaced.",
			spec:   specFor(1, addresses("10.0.0.9/24")), machines: []cluster.Machine{made(static, 0, 1, at("10.0.0.1"))},
			want: [][]string{{"clone 0/2"}, {"destroy 0/1"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			joined := tc.joined
			if joined == nil {
				joined = yes
			}
			if diff := cmp.Diff(tc.want, lines(rounds(tc.spec, tc.machines, joined))); diff != "" {
				t.Errorf("%s\nrounds(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSpecIsChecked(t *testing.T) {
	for name, tc := range map[string]struct {
		spec Spec
		ok   bool
	}{
		"One":           {spec: specFor(1), ok: true},
		"None":          {spec: specFor(0)},
		"FewAddresses":  {spec: specFor(3, addresses("10.0.0.1/24"))},
		"MoreAddresses": {spec: specFor(1, addresses("10.0.0.1/24", "10.0.0.2/24")), ok: true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.spec.check(); (err == nil) != tc.ok {
				t.Errorf("check() = %v", err)
			}
		})
	}
}
