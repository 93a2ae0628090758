package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// stepState is what is known of a step besides whether it is in flight.
type stepState struct {
	attempts int
	done     int
	// unseen is the step once it is done, until the mirror has moved on; notUntil bounds how long that is waited for.
	unseen   *cluster.Step
	notUntil time.Time
	err      error // final
}

type result struct {
	key string
	err error
}

// start begins the steps that may be done now, up to the limit. It returns when to look again for those that have to
// wait a moment; zero means there are none.
func (r *reconcile) start(ctx context.Context, plan cluster.Plan) (wake time.Time) {
	now := time.Now()
	for _, op := range plan.Operations {
		if op.Step == nil {
			continue
		}
		key := stepKey(*op.Step)
		state := r.steps[key]
		if state == nil {
			state = &stepState{}
			r.steps[key] = state
		}
		if _, busy := r.inFlight[key]; busy || state.err != nil {
			continue
		}
		if now.Before(state.notUntil) {
			if wake.IsZero() || state.notUntil.Before(wake) {
				wake = state.notUntil
			}
			continue
		}
		if len(r.inFlight) >= r.gateway.cfg.Parallel {
			continue
		}
		r.launch(ctx, key, op)
	}
	for _, state := range r.steps {
		if state.unseen != nil && (wake.IsZero() || state.notUntil.Before(wake)) {
			wake = state.notUntil
		}
	}
	return wake
}

func (r *reconcile) launch(ctx context.Context, key string, op cluster.Operation) {
	step := *op.Step
	r.inFlight[key] = step
	r.reporter.started(step, op)
	go func() {
		r.results <- result{key: key, err: r.do(ctx, step)}
	}()
}

func stepKey(s cluster.Step) string {
	return fmt.Sprintf("%s %s %s", s.Action, s.Name, s.Identity.InstanceUUID())
}

// seen tells whether the mirror shows what a step has done.
func seen(s cluster.Step, machines []cluster.Machine) bool {
	i := slices.IndexFunc(machines, func(m cluster.Machine) bool { return m.UUID == s.Identity.InstanceUUID() })
	switch s.Action {
	case cluster.ActClone:
		return i >= 0
	case cluster.ActDestroy:
		return i < 0
	case cluster.ActFinish:
		return i < 0 || machines[i].Joined
	case cluster.ActPowerOn:
		return i < 0 || machines[i].PowerState == "poweredOn"
	case cluster.ActLabel:
		return i < 0 || reflect.DeepEqual(machines[i].Node, s.Node)
	case cluster.ActReconfigure:
		return i < 0 || machines[i].CPU == s.CPU && machines[i].MemoryMiB == s.MemoryMiB && machines[i].DiskGiB >= s.DiskGiB
	default:
		return false
	}
}

// took decides what the end of a step means: done, again in a moment, or never.
func (r *reconcile) took(done result) {
	step := r.inFlight[done.key]
	delete(r.inFlight, done.key)
	state := r.steps[done.key]
	var resting *restingError
	var exhausted *exhaustedError
	switch {
	case done.err == nil:
		state.attempts = 0
		state.notUntil, state.unseen = time.Now().Add(settleLimit), &step
		if state.done++; state.done >= doneTimes {
			state.err = fmt.Errorf("%s %s was done %d times and vCenter does not show it", verb(step.Action), step.Name, doneTimes)
		}
		r.reporter.ended(step)
	case errors.As(done.err, &resting):
		state.notUntil = resting.until
		r.reporter.say(step.Name, done.err.Error())
	case errors.As(done.err, &exhausted) && state.attempts < retryTimes:
		state.attempts++
		state.notUntil = time.Now().Add(retryFirst)
		r.reporter.retrying(step, done.err)
	case vsphere.Classify(done.err) == vsphere.ClassRetry && state.attempts < retryTimes:
		ceiling := min(retryFirst<<state.attempts, retryMost)
		state.attempts++
		state.notUntil = time.Now().Add(rand.N(ceiling) + time.Millisecond) //nolint:gosec // Jitter needs no secrecy.
		r.reporter.retrying(step, done.err)
	default:
		state.err = stepError(step, done.err)
	}
}

// drain waits for the steps in flight, so that nobody works on the cluster when the next reconcile begins.
func (r *reconcile) drain() {
	for len(r.inFlight) > 0 {
		done := <-r.results
		delete(r.inFlight, done.key)
	}
}
