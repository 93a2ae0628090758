package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

const (
	// stallLimit is how long a machine may boot without a word before it counts as failed.
	stallLimit = 30 * time.Minute
	// blindLimit is how long vCenter may be out of reach within one apply.
	blindLimit = 10 * time.Minute
	// settleLimit is how long a finished step is believed while the mirror of vCenter does not show it yet.
	settleLimit = time.Second
	retryFirst  = time.Second
	retryMost   = 30 * time.Second
	// retryTimes bounds the retries of one step within one apply.
	retryTimes = 8
	// doneTimes bounds how often one step is done within one apply: a world that does not take it up ends the apply.
	doneTimes = 5
)

// reconcile brings one cluster from what it is to what one assignment says, level by level: look, plan, do what may be
// done now, look again. Nothing is believed because it was done before: each plan is made from what vCenter says.
type reconcile struct {
	worker     *worker
	gateway    *Gateway
	assignment gatewayapi.Assignment
	superseded <-chan struct{}
	log        *slog.Logger

	session *vsphere.Session
	watch   *vsphere.Watch
	facts   *cluster.Facts
	secrets bootstrap.Secrets

	inFlight map[string]cluster.Step
	results  chan result
	steps    map[string]*stepState
	// failedBefore are machines that had failed before this apply began; this apply replaces them, those that fail
	// later it reports.
	failedBefore map[string]bool
	blindSince   time.Time
	awaySince    time.Time
	reporter     reporter
	// again tells that the assignment is to be carried out anew.
	again bool
}

func newReconcile(w *worker, a gatewayapi.Assignment, superseded <-chan struct{}) *reconcile {
	return &reconcile{
		worker: w, gateway: w.gateway, assignment: a, superseded: superseded,
		log:      w.log.With("generation", a.Generation),
		inFlight: map[string]cluster.Step{}, results: make(chan result, w.gateway.cfg.Parallel),
		steps:    map[string]*stepState{},
		reporter: newReporter(w.gateway.reports, w.term.epoch, a),
	}
}

// run ends when the assignment is carried out, has failed, was superseded, or the gateway stops.
func (r *reconcile) run(ctx context.Context) {
	ctx = vsphere.WithGuard(vsphere.WithOperation(ctx, r.operation()), r.worker.mayWork)
	r.reporter.begin()
	err := r.persist(ctx, r.prepare)
	if err == nil {
		defer r.watch.Close()
		err = r.converge(ctx)
	}
	switch {
	case ctx.Err() != nil, errors.Is(err, errSuperseded):
	case errors.Is(err, errNotHolder):
		// The clock knew before the context did that the lease has lapsed: it may come back.
		r.again = true
	case errors.Is(err, vsphere.ErrClosed):
		// The account has new credentials, and with them a new session: the worker begins anew with it.
		r.again = true
	case err != nil:
		r.log.WarnContext(ctx, "cluster failed", "error", err)
		r.reporter.fail(err)
	case r.assignment.Deleting:
		r.reporter.gone()
	default:
		r.reporter.done()
	}
}

// operation names this apply in owner records and in vCenter's log.
func (r *reconcile) operation() string {
	return fmt.Sprintf("%s-g%d", r.assignment.ID, r.assignment.Generation)
}

var errSuperseded = errors.New("a newer assignment has come")

// persist repeats a look at vCenter that fails for a reason that passes, as long as an apply bears that at all.
func (r *reconcile) persist(ctx context.Context, look func(context.Context) error) error {
	began := r.gateway.now()
	for pause := retryFirst; ; pause = min(2*pause, retryMost) {
		err := look(ctx)
		if vsphere.Classify(err) != vsphere.ClassRetry || r.gateway.now().Sub(began) > blindLimit || r.isSuperseded() {
			return err
		}
		r.reporter.say("", "vCenter does not answer: "+err.Error())
		timer := time.NewTimer(pause/2 + rand.N(pause/2)) //nolint:gosec // Jitter needs no secrecy.
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-r.superseded:
			timer.Stop()
			return errSuperseded
		case <-timer.C:
		}
	}
}

// prepare reads what does not change while the assignment is carried out.
func (r *reconcile) prepare(ctx context.Context) (err error) {
	if r.session, err = r.gateway.accounts.session(ctx, r.assignment.Account); err != nil {
		return err
	}
	if r.assignment.Status.Origin, err = r.gateway.originOf(r.assignment, r.session.Login()); err != nil {
		return err
	}
	// What an earlier life of the gateway has begun to clone is awaited, so that it is neither made twice nor forgotten.
	if err := r.session.AwaitClones(ctx); err != nil {
		return err
	}
	target := r.gateway.target(r.assignment)
	if err := r.rebuildLeases(ctx, &target); err != nil {
		return err
	}
	if !r.assignment.Deleting {
		if err := r.ensureSecrets(ctx); err != nil {
			return err
		}
		if r.facts, err = r.session.Facts(ctx, r.assignment.Spec, []string{r.assignment.Spec.Endpoint.Host}); err != nil {
			return err
		}
	}
	if r.watch, err = r.session.Watch(ctx, target); err != nil {
		return err
	}
	r.failedBefore = r.failedMachines()
	obs := r.observe()
	if err := r.check(obs); err != nil {
		r.watch.Close()
		return err
	}
	return nil
}

// rebuildLeases reads the owner records of the whole vCenter where that matters: before addresses are leased, so that
// none is given twice, and before a cluster is deleted, so that no machine of it is missed.
func (r *reconcile) rebuildLeases(ctx context.Context, target *vsphere.Target) error {
	if !r.assignment.Deleting && len(r.assignment.Pools) == 0 {
		return nil
	}
	a := r.assignment
	// Who holds an address of a pool counts, whichever gateway made it.
	owned, err := r.session.Owned(ctx, func(o cluster.Owner) bool {
		return r.gateway.owns(a, o) || slices.ContainsFunc(a.Pools, func(p hubapi.IPPool) bool { return p.ID == o.Placement.IPPoolID })
	})
	if err != nil {
		return err
	}
	r.gateway.pools.adopt(owned)
	for _, m := range owned {
		if r.gateway.owns(a, m.Owner) && !slices.Contains(target.KnownUUIDs, m.UUID) {
			target.KnownUUIDs = append(target.KnownUUIDs, m.UUID)
		}
	}
	return nil
}

// check refuses a spec that cannot be met before anything is touched. A plan has said the same, unless it could not know.
func (r *reconcile) check(obs cluster.Observed) error {
	if r.assignment.Deleting {
		return nil
	}
	var failed problemsError
	for _, p := range cluster.Check(r.assignment.Spec, obs) {
		if p.Severity == cluster.SeverityError {
			failed = append(failed, p)
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// problemsError is a spec that cannot be met, with the attributes at fault.
type problemsError []cluster.Problem

func (e problemsError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Message
	}
	return strings.Join(lines, "\n")
}

func (r *reconcile) observe() cluster.Observed {
	now := time.Now()
	folder, machines := r.watch.Machines()
	folder.Created = r.reporter.foldersCreated()
	for i, m := range machines {
		if r.failedBefore[m.UUID] && !m.Progress.HasFailed() && !m.Progress.HasJoined() {
			machines[i].Progress.Status = cluster.ProgressFailed
			machines[i].Progress.Text = silence
		}
	}
	obs := r.gateway.observed(r.assignment, folder, machines, r.facts)
	// What is made in the place of a machine that is gone has its identity again, and is not to be replaced once more.
	maps.DeleteFunc(r.failedBefore, func(uuid string, _ bool) bool {
		return !slices.ContainsFunc(machines, func(m cluster.Machine) bool { return m.UUID == uuid })
	})
	obs.RetryFailed = len(r.failedBefore) > 0
	// A step that is done but not seen yet is as good as running: what it has made must not be made again.
	for _, key := range sortedKeys(r.steps) {
		if step, running := r.inFlight[key]; running {
			obs.Running = append(obs.Running, step)
		} else if unseen := r.steps[key].unseen; unseen != nil {
			if seen(*unseen, machines) || !now.Before(r.steps[key].notUntil) {
				r.steps[key].unseen, r.steps[key].notUntil = nil, time.Time{}
				continue
			}
			obs.Running = append(obs.Running, *unseen)
		}
	}
	return obs
}

func (r *reconcile) plan(obs cluster.Observed) cluster.Plan {
	if r.assignment.Deleting {
		return cluster.PlanDelete(r.assignment.Spec, obs)
	}
	return cluster.MakePlan(r.assignment.Spec, obs)
}

// converge is the loop.
func (r *reconcile) converge(ctx context.Context) error {
	defer r.drain()
	for {
		if err := r.watch.Err(); err != nil {
			if err := r.blind(ctx, err); err != nil {
				return err
			}
			continue
		}
		r.blindSince = time.Time{}
		obs := r.observe()
		plan := r.plan(obs)
		r.reporter.warn(plan.Problems)
		r.reporter.observed(r.assignment.Spec, obs)
		superseded := r.isSuperseded()
		if superseded && len(r.inFlight) == 0 {
			return errSuperseded
		}
		var wake time.Time
		if !superseded {
			wake = r.start(ctx, plan)
			if done, err := r.finished(ctx, obs, plan, wake); done || err != nil {
				return err
			}
		}
		if err := r.wait(ctx, wake); err != nil {
			return err
		}
	}
}

// blind waits for a mirror that has lost vCenter to see again. What cannot pass by itself ends the apply at once.
func (r *reconcile) blind(ctx context.Context, err error) error {
	if vsphere.Classify(err) != vsphere.ClassRetry {
		return err
	}
	now := r.gateway.now()
	if r.blindSince.IsZero() {
		r.blindSince = now
		r.reporter.say("", "vCenter does not answer: "+err.Error())
	}
	if now.Sub(r.blindSince) > blindLimit {
		return fmt.Errorf("vCenter has not answered for %s: %w", blindLimit, err)
	}
	return r.wait(ctx, now.Add(retryMost))
}

func (r *reconcile) isSuperseded() bool {
	select {
	case <-r.superseded:
		return true
	default:
		return false
	}
}

// finished tells whether nothing is left to do, or nothing can be done.
func (r *reconcile) finished(ctx context.Context, obs cluster.Observed, plan cluster.Plan, wake time.Time) (bool, error) {
	if len(r.inFlight) > 0 || !wake.IsZero() {
		return false, nil
	}
	if len(plan.Operations) == 0 && !plan.Refused() {
		return true, r.persist(ctx, r.verify)
	}
	stalled := r.stalled(obs)
	if len(stalled) == 0 && !r.assignment.Deleting && (booting(obs) || r.outOfReach(obs)) {
		return false, nil
	}
	r.reporter.silent(stalled)
	return true, r.failure(plan, stalled)
}

// verify looks once more when all is done: leases without machines are given back, and of a deleted cluster nothing may
// be left.
func (r *reconcile) verify(ctx context.Context) error {
	_, machines := r.watch.Machines()
	if r.assignment.Deleting {
		owned, err := r.session.Owned(ctx, func(o cluster.Owner) bool { return r.gateway.owns(r.assignment, o) })
		if err != nil {
			return err
		}
		for _, m := range owned {
			if !m.Copy() {
				return fmt.Errorf("machine %s of the cluster is still there: apply again", m.Path)
			}
		}
		machines = nil
	}
	alive := map[string]bool{}
	for _, m := range machines {
		alive[m.UUID] = true
	}
	r.gateway.pools.release(r.assignment.ID, func(uuid string) bool { return alive[uuid] })
	return nil
}

// failure says why an apply cannot go on, everything at once.
func (r *reconcile) failure(plan cluster.Plan, stalled []string) error {
	var errs []error
	for _, p := range plan.Problems {
		if p.Severity == cluster.SeverityError {
			errs = append(errs, errors.New(p.Message))
		}
	}
	for _, f := range plan.Failures {
		errs = append(errs, fmt.Errorf("machine %s failed in phase %s: %s", f.Machine, f.Phase, f.Text))
	}
	for _, key := range sortedKeys(r.steps) {
		if state := r.steps[key]; state.err != nil {
			errs = append(errs, state.err)
		}
	}
	for _, name := range stalled {
		errs = append(errs, fmt.Errorf("machine %s: %s; the next apply replaces it", name, silence))
	}
	if len(errs) == 0 {
		op := plan.Operations[0]
		errs = append(errs, fmt.Errorf("cannot go on: %s is waiting (%s %s)", strings.Join(cluster.Summarize(
			[]cluster.Operation{op}), ""), op.Kind, op.Reason))
	}
	return errors.Join(errs...)
}

func (r *reconcile) wait(ctx context.Context, wake time.Time) error {
	timer := time.NewTimer(stallLimit / 10)
	if !wake.IsZero() {
		timer.Reset(time.Until(wake))
	}
	defer timer.Stop()
	superseded := r.superseded
	if r.isSuperseded() {
		superseded = nil // only the steps in flight are waited for
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-superseded:
	case <-timer.C:
	case <-r.watch.Changed():
	case done := <-r.results:
		r.took(done)
	}
	return nil
}

// stepError names the step where the fault does not do so itself.
func stepError(step cluster.Step, err error) error {
	what := verb(step.Action) + " " + step.Name
	if fault, ok := errors.AsType[*vsphere.FaultError](err); ok && fault.Op == what {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// booting tells whether a machine is on its way by itself.
func booting(obs cluster.Observed) bool {
	return slices.ContainsFunc(obs.Machines, func(m cluster.Machine) bool {
		return !m.Joined && !m.Copy() && m.PowerState == "poweredOn" && !m.Progress.HasFailed()
	})
}

// silence is what is said of a machine that says nothing.
var silence = fmt.Sprintf("it has not said anything for %s", stallLimit)

// outOfReach tells whether a machine's host is away, and may still come back in time.
func (r *reconcile) outOfReach(obs cluster.Observed) bool {
	away := slices.ContainsFunc(obs.Machines, func(m cluster.Machine) bool { return stateOf(m) == stateUnreachable })
	now := r.gateway.now()
	switch {
	case !away:
		r.awaySince = time.Time{}
	case r.awaySince.IsZero():
		r.awaySince = now
	}
	return away && now.Sub(r.awaySince) <= blindLimit
}

// stalled names machines that have not said anything for too long. Their clocks are their own, so that only what the
// gateway saw counts.
func (r *reconcile) stalled(obs cluster.Observed) []string {
	var names []string
	for _, m := range obs.Machines {
		if !m.Joined && !m.Copy() && !m.Progress.HasFailed() && r.reporter.silence(m.UUID) > stallLimit {
			names = append(names, m.Name)
		}
	}
	return names
}

// failedMachines are the machines that have failed, or gone silent, in an earlier apply.
func (r *reconcile) failedMachines() map[string]bool {
	silent := map[string]bool{}
	for _, m := range r.assignment.Status.Machines {
		if m.State == stateSilent {
			silent[m.InstanceUUID] = true
		}
	}
	failed := map[string]bool{}
	_, machines := r.watch.Machines()
	for _, m := range machines {
		if !m.Joined && !m.Progress.HasJoined() && (m.Progress.HasFailed() || silent[m.UUID]) {
			failed[m.UUID] = true
		}
	}
	return failed
}
