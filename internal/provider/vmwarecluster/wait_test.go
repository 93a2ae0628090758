package vmwarecluster

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// script is a stream of events with pauses before each.
type script struct {
	events []hubapi.Event
	pause  time.Duration
	end    error
}

func (s script) WatchCluster(ctx context.Context, _ string, _ int64, fn func(hubapi.Event) error) error {
	for _, e := range s.events {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.pause):
		}
		if err := fn(e); err != nil {
			if errors.Is(err, hubapi.ErrStop) {
				return nil
			}
			return err
		}
	}
	if s.end != nil {
		return s.end
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestFollow(t *testing.T) {
	errBoom := errors.New("boom")
	event := func(generation, observed int64, phase hubapi.Phase) hubapi.Event {
		return hubapi.Event{Generation: generation, ObservedGeneration: observed, Phase: phase, Message: string(phase)}
	}
	for name, tc := range map[string]struct {
		reason string
		script script
		want   error
		phase  hubapi.Phase
		took   time.Duration
	}{
		"Finished": {
			reason: "The wait ends when the generation was observed.",
			script: script{pause: time.Minute, events: []hubapi.Event{
				event(2, 1, hubapi.PhaseProvisioning), event(2, 2, hubapi.PhaseReady), event(2, 2, hubapi.PhaseUpdating),
			}},
			phase: hubapi.PhaseReady, took: 2 * time.Minute,
		},
		"EarlierWork": {
			reason: "An earlier failure is none of this work.",
			script: script{pause: time.Minute, events: []hubapi.Event{
				event(1, 1, hubapi.PhaseFailed), event(2, 1, hubapi.PhaseUpdating), event(2, 2, hubapi.PhaseReady),
			}},
			phase: hubapi.PhaseReady, took: 3 * time.Minute,
		},
		"Failed": {
			reason: "A failure ends the wait as well.",
			script: script{pause: time.Minute, events: []hubapi.Event{event(2, 2, hubapi.PhaseFailed)}},
			phase:  hubapi.PhaseFailed, took: time.Minute,
		},
		"Later": {
			reason: "Somebody wrote a later generation, and that is finished: so is this one.",
			script: script{pause: time.Minute, events: []hubapi.Event{event(3, 3, hubapi.PhaseReady)}},
			phase:  hubapi.PhaseReady, took: time.Minute,
		},
		"Gone": {
			reason: "The cluster was deleted.",
			script: script{pause: time.Minute, events: []hubapi.Event{{Gone: true, Generation: 3}}},
			want:   errGone, took: time.Minute,
		},
		"Timeout": {
			reason: "A wait that takes too long ends with the deadline.",
			script: script{pause: time.Minute, events: []hubapi.Event{event(2, 1, hubapi.PhaseProvisioning)}},
			want:   context.DeadlineExceeded, phase: hubapi.PhaseProvisioning, took: time.Hour,
		},
		"Broken": {
			reason: "Another error ends the wait.",
			script: script{end: errBoom},
			want:   errBoom, phase: hubapi.PhasePending,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				told := newStory(hubapi.PhasePending)
				begun := time.Now()
				err := told.follow(ctx, tc.script, "id", 2)
				if diff := cmp.Diff(tc.want, err, cmpopts.EquateErrors()); diff != "" {
					t.Errorf("%s\nerror -want +got:\n%s", tc.reason, diff)
				}
				if diff := cmp.Diff(tc.phase, told.phase); diff != "" {
					t.Errorf("%s\nphase -want +got:\n%s", tc.reason, diff)
				}
				if took := time.Since(begun); took != tc.took {
					t.Errorf("%s\ntook %s, want %s", tc.reason, took, tc.took)
				}
			})
		})
	}
}

func TestFollowCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		err := newStory(hubapi.PhasePending).follow(ctx, script{}, "id", 1)
		if !errors.Is(err, context.Canceled) || !unfinished(err) {
			t.Errorf("an interrupted wait ends at once with the context's error, got %v", err)
		}
	})
}

func TestTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := newStory(hubapi.PhasePending)
		for i := range 7 {
			told.add(t.Context(), hubapi.Event{
				Phase: hubapi.PhaseProvisioning, Machine: "prod-cp-0", Message: strings.Repeat("x", i+1),
				Time: time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC),
			})
		}
		told.add(t.Context(), hubapi.Event{Phase: hubapi.PhaseProvisioning})
		<-time.After(90 * time.Second)
		got := told.tell(&hubapi.Cluster{
			Meta:   hubapi.Meta{ID: "id", Name: "prod"},
			Status: hubapi.ClusterStatus{Phase: hubapi.PhaseFailed, Machines: []hubapi.Machine{{Name: "prod-cp-0", State: "failed"}}},
		})
		want := `Cluster: prod (id)
Last phase: Failed, after 1m30s
Last events:
  03:04:02 prod-cp-0: xxx
  03:04:03 prod-cp-0: xxxx
  03:04:04 prod-cp-0: xxxxx
  03:04:05 prod-cp-0: xxxxxx
  03:04:06 prod-cp-0: xxxxxxx
Machines:
  prod-cp-0: failed`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the last phase and events are told: -want +got:\n%s", diff)
		}
	})
}
