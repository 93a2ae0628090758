package appliance

import (
	"fmt"
	"slices"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// action is what is done to one VM.
type action string

const (
	clone       action = "clone"
	reconfigure action = "reconfigure"
	powerOn     action = "power on"
	destroy     action = "destroy"
)

// step is one change.
type step struct {
	action  action
	ordinal int
	// machine is what is changed or destroyed; identity is what is made.
	machine  cluster.Machine
	identity cluster.Identity
	reason   string
}

// round is what may be done at the same time. What it makes and changes is online before the next one begins.
type round []step

// rounds is the way from the VMs there are to those that are wanted. VMs that are missing are made together; one that
// has to be replaced stands until its successor is online, one after the other, so that the gateway always answers.
func rounds(s Spec, machines []cluster.Machine, joined func(name string) bool) []round {
	var fresh round
	var rolling []round
	var surplus round
	for ordinal := range max(s.Replicas, highest(machines)+1) {
		slot := of(machines, ordinal)
		if ordinal >= s.Replicas {
			for _, m := range slot {
				surplus = append(surplus, step{action: destroy, ordinal: ordinal, machine: m, reason: "fewer replicas"})
			}
			continue
		}
		keeper, others := choose(s, slot, joined)
		switch {
		case len(slot) == 0:
			fresh = append(fresh, step{action: clone, ordinal: ordinal, identity: s.identity(ordinal, 1), reason: "missing"})
			continue
		case keeper == nil:
			_, spare := s.free(machines)
			rolling = append(rolling, replace(s, ordinal, slot, spare || len(s.Addresses) == 0, joined)...)
			continue
		}
		if change, what := resize(s, *keeper); what != "" {
			change.ordinal = ordinal
			rolling = append(rolling, round{change})
		}
		for _, m := range others {
			rolling = append(rolling, round{{action: destroy, ordinal: ordinal, machine: m, reason: "replaced"}})
		}
	}
	var all []round
	if len(fresh) > 0 {
		all = append(all, fresh)
	}
	all = append(all, rolling...)
	if len(surplus) > 0 {
		all = append(all, surplus)
	}
	return all
}

// choose finds the VM that stays: the newest that boots with what is wanted and has become a replica.
func choose(s Spec, slot []cluster.Machine, joined func(string) bool) (*cluster.Machine, []cluster.Machine) {
	for i := range slices.Backward(slot) {
		if s.fits(slot[i]) && joined(slot[i].Name) {
			return &slot[i], slices.Delete(slices.Clone(slot), i, i+1)
		}
	}
	return nil, slot
}

// replace makes a successor. What never became a replica is of no use to anybody and goes first, for its address.
func replace(s Spec, ordinal int, slot []cluster.Machine, beside bool, joined func(string) bool) []round {
	var before, after []round
	generation := 0
	for _, m := range slot {
		generation = max(generation, m.Generation)
		gone := round{{action: destroy, ordinal: ordinal, machine: m, reason: "replaced"}}
		// A static address cannot be on two VMs. The last replica stays whatever happens: it alone can share the gateway's key.
		if !joined(m.Name) || !beside && s.Replicas > 1 {
			before = append(before, gone)
		} else {
			after = append(after, gone)
		}
	}
	made := round{{action: clone, ordinal: ordinal, identity: s.identity(ordinal, generation+1), reason: "boots with something else"}}
	return slices.Concat(before, []round{made}, after)
}

// resize changes a VM in place, or powers it on.
func resize(s Spec, m cluster.Machine) (step, string) {
	switch {
	case m.CPU != s.CPU:
		return step{action: reconfigure, machine: m, reason: fmt.Sprintf("%d to %d CPUs", m.CPU, s.CPU)}, "cpu"
	case m.MemoryMiB != s.MemoryMiB:
		return step{action: reconfigure, machine: m, reason: fmt.Sprintf("%d to %d MiB", m.MemoryMiB, s.MemoryMiB)}, "memory"
	case m.DiskGiB < s.DiskGiB:
		return step{action: reconfigure, machine: m, reason: fmt.Sprintf("%d to %d GiB", m.DiskGiB, s.DiskGiB)}, "disk"
	case m.PowerState != "poweredOn":
		return step{action: powerOn, machine: m, reason: "it is off"}, "power"
	default:
		return step{}, ""
	}
}

// of are the VMs of an ordinal, oldest first; copies are nobody's.
func of(machines []cluster.Machine, ordinal int) []cluster.Machine {
	var slot []cluster.Machine
	for _, m := range machines {
		if m.Ordinal == ordinal && !m.Copy() {
			slot = append(slot, m)
		}
	}
	slices.SortFunc(slot, func(a, b cluster.Machine) int { return a.Generation - b.Generation })
	return slot
}

func highest(machines []cluster.Machine) int {
	top := -1
	for _, m := range machines {
		top = max(top, m.Ordinal)
	}
	return top
}
