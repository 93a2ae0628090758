package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// reporter tells the hub how a reconcile stands: its phase, its machines, and a line for people when something happened.
type reporter struct {
	log        *reportLog
	epoch      int64
	assignment gatewayapi.Assignment

	mu     *sync.Mutex
	status hubapi.ClusterStatus
	heard  map[string]heard // by instance UUID
	// warnings are what the last plan has to tell besides what it does.
	warnings []string
}

// heard is what a machine last said, and when the gateway saw it.
type heard struct {
	progress cluster.Progress
	at       time.Time
}

func newReporter(log *reportLog, epoch int64, a gatewayapi.Assignment) reporter {
	return reporter{log: log, epoch: epoch, assignment: a, mu: &sync.Mutex{}, status: a.Status, heard: map[string]heard{}}
}

// publish sends the status as it is. The caller holds mu.
func (p *reporter) publish(change func(*gatewayapi.ClusterReport)) int64 {
	report := gatewayapi.ClusterReport{
		ID: p.assignment.ID, Generation: p.assignment.Generation,
		ObservedGeneration: p.assignment.Generation - 1,
		Status:             p.status,
	}
	report.Status.Machines = slices.Clone(p.status.Machines)
	report.Status.Conditions = slices.Clone(p.status.Conditions)
	change(&report)
	return p.log.publish(gatewayapi.Report{Epoch: p.epoch, Cluster: &report})
}

func (p *reporter) say(machine, message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publish(func(r *gatewayapi.ClusterReport) { r.Machine, r.Message = machine, message })
}

func (p *reporter) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Message, p.status.Problems = "", nil
	p.status.Machines = slices.Clone(p.status.Machines)
	for i, m := range p.status.Machines {
		if m.State == stateSilent { // the reconcile has taken note
			p.status.Machines[i].State = stateBooting
		}
	}
	message := "creating the cluster"
	switch {
	case p.assignment.Deleting:
		p.status.Phase, p.status.Ready, message = hubapi.PhaseDeleting, false, "deleting the cluster"
	case p.status.EverReady:
		p.status.Phase, message = hubapi.PhaseUpdating, "updating the cluster"
	default:
		p.status.Phase = hubapi.PhaseProvisioning
	}
	p.publish(func(r *gatewayapi.ClusterReport) { r.Message = message })
}

// observed reports what changed about the machines, and what they say of their boot.
func (p *reporter) observed(spec cluster.Spec, obs cluster.Observed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.log.now()
	for _, m := range obs.Machines {
		before, known := p.heard[m.UUID]
		if known && before.progress == m.Progress {
			continue
		}
		p.heard[m.UUID] = heard{progress: m.Progress, at: now}
		if m.Progress.Phase == "" || m.Joined || (!known && m.Progress.HasJoined()) {
			continue
		}
		p.publish(func(r *gatewayapi.ClusterReport) {
			r.Machine, r.Message = m.Name, progressLine(m.Progress)
		})
	}
	status := statusOf(p.status, spec, obs)
	if !reflect.DeepEqual(status, p.status) {
		p.status = status
		p.publish(func(*gatewayapi.ClusterReport) {})
	}
}

func progressLine(progress cluster.Progress) string {
	line := fmt.Sprintf("%s: %s", progress.Phase, progressWord(progress.Status))
	if progress.Text != "" {
		line += ": " + progress.Text
	}
	return line
}

func progressWord(status cluster.ProgressStatus) string {
	switch status {
	case cluster.ProgressDone:
		return "done"
	case cluster.ProgressFailed:
		return "failed"
	default:
		return "running"
	}
}

// warn keeps what a plan tells besides what it does, and says it once.
func (p *reporter) warn(problems []cluster.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var warnings []string
	for _, problem := range problems {
		if problem.Severity == cluster.SeverityWarning {
			warnings = append(warnings, problem.Message)
			if !slices.Contains(p.warnings, problem.Message) {
				p.publish(func(r *gatewayapi.ClusterReport) { r.Message = problem.Message })
			}
		}
	}
	p.warnings = warnings
}

// silent marks machines that have gone silent, so that the next apply replaces them.
func (p *reporter) silent(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	machines := slices.Clone(p.status.Machines)
	for i, m := range machines {
		if slices.Contains(names, m.Name) {
			machines[i].State = stateSilent
		}
	}
	p.status.Machines = machines
}

// silence is how long the gateway has not heard anything new of a machine.
func (p *reporter) silence(uuid string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, ok := p.heard[uuid]; ok {
		return p.log.now().Sub(last.at)
	}
	return 0
}

func (p *reporter) started(s cluster.Step, op cluster.Operation) {
	message := verb(s.Action) + " " + s.Name
	if s.Action != cluster.ActFinish && op.Reason != "" {
		message += ": " + op.Reason
	}
	p.say(s.Name, message)
}

func (p *reporter) ended(s cluster.Step) { p.say(s.Name, "done: "+verb(s.Action)+" "+s.Name) }

func (p *reporter) retrying(s cluster.Step, err error) {
	p.say(s.Name, fmt.Sprintf("%s %s will be tried again: %s", verb(s.Action), s.Name, err))
}

func (p *reporter) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Phase, p.status.EverReady = hubapi.PhaseReady, true
	p.publish(func(r *gatewayapi.ClusterReport) {
		r.ObservedGeneration, r.Message = p.assignment.Generation, "the cluster is as asked"
	})
}

func (p *reporter) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Phase, p.status.Ready, p.status.Message = hubapi.PhaseFailed, false, err.Error()
	var problems problemsError
	if errors.As(err, &problems) {
		p.status.Problems = problems
	}
	if problem := asProblem(err); len(problems) == 0 && problem.Hint != "" {
		p.status.Message += "\n" + problem.Hint
	}
	p.publish(func(r *gatewayapi.ClusterReport) {
		r.ObservedGeneration, r.Message = p.assignment.Generation, p.status.Message
	})
}

func (p *reporter) gone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Machines = nil
	p.publish(func(r *gatewayapi.ClusterReport) {
		r.ObservedGeneration, r.Gone, r.Message = p.assignment.Generation, true, "nothing of the cluster is left"
		r.Warnings = p.warnings
	})
}

// folders has it kept that these folders are the cluster's.
func (p *reporter) folders(ctx context.Context, missing []string) error {
	p.mu.Lock()
	folders := slices.Clone(p.status.FoldersCreated)
	for _, path := range missing {
		if !slices.Contains(folders, path) {
			folders = append(folders, path)
		}
	}
	slices.Sort(folders)
	p.status.FoldersCreated = folders
	seq := p.publish(func(*gatewayapi.ClusterReport) {})
	p.mu.Unlock()
	return p.log.kept(ctx, seq)
}

func (p *reporter) foldersCreated() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.status.FoldersCreated)
}

// folderGone forgets a folder that does not exist any more, or that is not ours alone.
func (p *reporter) folderGone(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.FoldersCreated = slices.DeleteFunc(slices.Clone(p.status.FoldersCreated),
		func(folder string) bool { return folder == path })
	p.publish(func(*gatewayapi.ClusterReport) {})
}

func (p *reporter) keepSecrets(ctx context.Context, sealed []byte) error {
	p.mu.Lock()
	seq := p.publish(func(r *gatewayapi.ClusterReport) { r.SealedSecrets = sealed })
	p.mu.Unlock()
	return p.log.kept(ctx, seq)
}

// verb names an action for people.
func verb(a cluster.Action) string {
	switch a {
	case cluster.ActCreateFolder:
		return "create folder"
	case cluster.ActDeleteFolder:
		return "delete folder"
	case cluster.ActPowerOn:
		return "power on"
	case cluster.ActFinish:
		return "clear bootstrap secrets of"
	default:
		return string(a)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func keysOf[K comparable, V any](m map[K]V) func(func(K) bool) { return maps.Keys(m) }
