package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// States of a machine as a person sees it.
const (
	stateBooting     = "booting"
	stateReady       = "ready"
	stateFailed      = "failed"
	stateSilent      = "silent"
	statePoweredOff  = "powered-off"
	stateUnreachable = "unreachable"
	stateCopy        = "copy"
)

// statusOf says how a cluster stands. Messages name nothing that changes between two looks at the same world.
func statusOf(before hubapi.ClusterStatus, spec cluster.Spec, obs cluster.Observed) hubapi.ClusterStatus {
	status := before
	status.Machines = make([]hubapi.Machine, 0, len(obs.Machines))
	for _, m := range obs.Machines {
		machine := machineOf(m)
		if machine.State == stateBooting && wasSilent(before, machine.InstanceUUID) {
			machine.State = stateSilent
		}
		status.Machines = append(status.Machines, machine)
	}
	slices.SortFunc(status.Machines, func(a, b hubapi.Machine) int { return strings.Compare(a.Name, b.Name) })
	status.Conditions = conditionsOf(spec, obs)
	status.Ready = before.Phase != hubapi.PhaseDeleting && cluster.Ready(spec, obs)
	return status
}

func wasSilent(status hubapi.ClusterStatus, uuid string) bool {
	return slices.ContainsFunc(status.Machines, func(m hubapi.Machine) bool {
		return m.InstanceUUID == uuid && m.State == stateSilent
	})
}

func machineOf(m cluster.Machine) hubapi.Machine {
	addresses := m.Addresses
	if len(addresses) == 0 {
		addresses = m.Owner.Addresses
	}
	return hubapi.Machine{
		Name: m.Name, Pool: m.Pool, InstanceUUID: m.UUID, Moid: m.Moid, Addresses: slices.Clone(addresses),
		Host: m.Host, Datastore: lastElement(m.Datastore), Version: m.KubernetesVersion, State: stateOf(m),
	}
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func stateOf(m cluster.Machine) string {
	switch {
	case m.Copy():
		return stateCopy
	case m.ConnectionState != "" && m.ConnectionState != "connected":
		return stateUnreachable
	case m.PowerState != "poweredOn":
		return statePoweredOff
	case m.Joined:
		return stateReady
	case m.Progress.HasFailed():
		return stateFailed
	default:
		return stateBooting
	}
}

// poolCount counts a pool's machines, never more than are wanted: one too many does not stand in for one that is missing
// elsewhere.
type poolCount struct{ wanted, exist, joined, serving int }

func countPools(spec cluster.Spec, obs cluster.Observed) (control, all poolCount) {
	for _, pool := range spec.Pools() {
		count := poolCount{wanted: pool.Count}
		for _, m := range obs.Machines {
			if m.Pool != pool.Name || m.Copy() {
				continue
			}
			count.exist++
			if m.Joined {
				count.joined++
			}
			if stateOf(m) == stateReady {
				count.serving++
			}
		}
		count.exist, count.serving = min(count.exist, count.wanted), min(count.serving, count.wanted)
		if pool.ControlPlane {
			control = count
		}
		all.wanted += count.wanted
		all.exist += count.exist
		all.serving += count.serving
	}
	return control, all
}

func conditionsOf(spec cluster.Spec, obs cluster.Observed) []hubapi.Condition {
	control, all := countPools(spec, obs)
	conditions := []hubapi.Condition{
		condition("InfrastructureReady", all.exist == all.wanted, "MachinesExist", "MachinesMissing",
			fmt.Sprintf("%d of %d machines exist", all.exist, all.wanted)),
		condition("ControlPlaneInitialized", control.joined > 0, "Initialized", "NotInitialized", ""),
		condition("ControlPlaneReady", control.serving == control.wanted, "AllServing", "SomeMissing",
			fmt.Sprintf("%d of %d control plane machines have joined and are on", control.serving, control.wanted)),
		condition("MachinesReady", all.serving == all.wanted, "AllServing", "SomeMissing",
			fmt.Sprintf("%d of %d machines have joined and are on", all.serving, all.wanted)),
	}
	if copies := copiesOf(obs); len(copies) > 0 {
		conditions = append(conditions, hubapi.Condition{
			Type: "AmbiguousCopy", Status: true, Reason: "CopiesFound",
			Message: "these carry a machine's owner record but are not it, and are left alone: " + strings.Join(copies, ", "),
		})
	}
	return conditions
}

func copiesOf(obs cluster.Observed) []string {
	var copies []string
	for _, m := range obs.Machines {
		if m.Copy() {
			copies = append(copies, m.Path)
		}
	}
	slices.Sort(copies)
	return copies
}

func condition(kind string, status bool, good, bad, message string) hubapi.Condition {
	reason := good
	if !status {
		reason = bad
	}
	return hubapi.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// target says where a cluster's machines are looked for.
func (g *Gateway) target(a gatewayapi.Assignment) vsphere.Target {
	target := vsphere.Target{
		GatewayID: g.origin(a), ClusterID: a.ID, Datacenter: a.Spec.Datacenter, Folder: a.Spec.Folder,
	}
	for _, m := range a.Status.Machines {
		target.KnownUUIDs = append(target.KnownUUIDs, m.InstanceUUID)
	}
	return target
}

// observed puts together what the domain decides on.
func (g *Gateway) observed(
	a gatewayapi.Assignment, folder cluster.FolderFacts, machines []cluster.Machine, facts *cluster.Facts,
) cluster.Observed {
	obs := cluster.Observed{
		GatewayID: g.origin(a), ClusterID: a.ID, Folder: folder, Machines: machines, EverReady: a.Status.EverReady,
	}
	if facts != nil {
		current := *facts
		current.AddressPools = g.pools.facts()
		obs.Facts = &current
	}
	return obs
}
