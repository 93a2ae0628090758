package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// PlanDelete decides how a cluster goes: all machines at once, then the folders made for it, the innermost first. There
// is no care for quorum, for nothing of the cluster is to stay. What is not the cluster's is left and named.
func PlanDelete(spec Spec, obs Observed) Plan {
	p := newPlanner(spec, obs)
	const why = "the cluster is destroyed"
	for _, m := range p.copies {
		p.problems.warn("", "%s carries the owner record of machine %s but is not it: a clone or a restored backup. "+
			"It is left alone.", cmp.Or(m.Path, m.Name), MachineName(spec.Name, m.Identity))
	}
	members := p.allMembers()
	for _, m := range members {
		step := m.step(ActDestroy)
		if len(m.ForeignDisks) > 0 {
			p.foreignDisks("", m.Machine)
			step = nil
		}
		// What is being made is destroyed once it is there.
		if m.Moid == "" || m.running != "" {
			step = nil
		}
		p.ops = append(p.ops, Operation{Kind: KindDestroy, Pool: m.Pool, Machine: m.Name, Reason: why, Step: step})
	}
	p.deleteFolders(len(members) == 0, why)
	return Plan{Operations: p.ops, Problems: p.problems}
}

// deleteFolders removes one folder at a time. A folder with anything else in it stays, and so do those around it.
func (p *planner) deleteFolders(empty bool, why string) {
	if others := p.otherOccupants(); len(others) > 0 && len(p.obs.Folder.Created) > 0 {
		p.problems.warn("", "folder %s is kept: it holds %s, which are not machines of this cluster",
			p.spec.folderPath(), strings.Join(others, ", "))
		return
	}
	running := slices.ContainsFunc(p.obs.Running, func(s Step) bool { return s.Action == ActDeleteFolder })
	for _, folder := range slices.Backward(p.obs.Folder.Created) {
		if !p.obs.Folder.Exists && folder == p.spec.folderPath() {
			continue // It is gone already.
		}
		op := Operation{Kind: KindDeleteFolder, Machine: folder, Reason: fmt.Sprintf("it was made for the cluster, and %s", why)}
		if empty && !running {
			op.Step = &Step{Action: ActDeleteFolder, Name: folder}
		}
		empty = false
		p.ops = append(p.ops, op)
	}
}

// otherOccupants are the VMs in the cluster's folder that are not its machines.
func (p *planner) otherOccupants() []string {
	var others []string
	for _, name := range sortedKeys(p.obs.Folder.TakenNames) {
		others = append(others, p.obs.Folder.TakenNames[name])
	}
	for _, m := range p.copies {
		if m.InFolder {
			others = append(others, cmp.Or(m.Path, m.Name))
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}
