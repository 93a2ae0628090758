package vmwarecluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// toldEvents is how many of the last events an error repeats.
const toldEvents = 5

// errGone tells that nothing of the cluster is left.
var errGone = errors.New("the cluster is gone")

// watcher streams what happens to a cluster.
type watcher interface {
	WatchCluster(ctx context.Context, id string, after int64, fn func(hubapi.Event) error) error
}

// story is what happened while somebody waited.
type story struct {
	begun  time.Time
	phase  hubapi.Phase
	events []hubapi.Event
	// warnings are what a delete has left alone.
	warnings []string
}

func newStory(phase hubapi.Phase) *story { return &story{begun: time.Now(), phase: phase} }

// follow waits until the gateway has finished with the generation, well or not. It returns errGone when the cluster was
// deleted, the context's error when that came first, and any other error of the stream.
func (s *story) follow(ctx context.Context, w watcher, id string, generation int64) error {
	var end error
	err := w.WatchCluster(ctx, id, 0, func(e hubapi.Event) error {
		if e.Generation < generation && !e.Gone {
			return nil // of earlier work
		}
		s.add(ctx, e)
		if e.Gone {
			end = errGone
			s.warnings = e.Warnings
		}
		if e.Gone || e.ObservedGeneration >= generation {
			return hubapi.ErrStop
		}
		return nil
	})
	return errors.Join(end, err)
}

func (s *story) add(ctx context.Context, e hubapi.Event) {
	changed := e.Phase != s.phase
	s.phase = e.Phase
	if e.Message == "" && !changed {
		return
	}
	tflog.Info(ctx, "cluster progress", map[string]any{
		"phase": string(e.Phase), "machine": e.Machine, "event": e.Message,
		"elapsed": time.Since(s.begun).Round(time.Second).String(),
	})
	if e.Message == "" {
		return
	}
	s.events = append(s.events, e)
	if len(s.events) > toldEvents {
		s.events = s.events[1:]
	}
}

// tell says for people where the cluster stands and what happened last.
func (s *story) tell(c *hubapi.Cluster) string {
	var b strings.Builder
	if c.Status.Phase != "" {
		s.phase = c.Status.Phase
	}
	fmt.Fprintf(&b, "Cluster: %s (%s)\nLast phase: %s, after %s", c.Name, c.ID, s.phase, time.Since(s.begun).Round(time.Second))
	if len(s.events) > 0 {
		b.WriteString("\nLast events:")
	}
	for _, e := range s.events {
		fmt.Fprintf(&b, "\n  %s %s", e.Time.UTC().Format(time.TimeOnly), eventLine(e))
	}
	if len(c.Status.Machines) > 0 {
		b.WriteString("\nMachines:")
	}
	for _, m := range c.Status.Machines {
		fmt.Fprintf(&b, "\n  %s: %s", m.Name, m.State)
	}
	return b.String()
}

func eventLine(e hubapi.Event) string {
	text := strings.ReplaceAll(strings.TrimSpace(e.Message), "\n", "\n    ")
	if e.Machine == "" || strings.Contains(e.Message, e.Machine) {
		return text
	}
	return e.Machine + ": " + text
}

// settled tells whether the gateway has finished with what was last written.
func settled(c *hubapi.Cluster) bool {
	return c.ObservedGeneration >= c.Generation && restful(c.Status.Phase)
}

// restful tells whether nobody works on a cluster in this phase.
func restful(phase hubapi.Phase) bool {
	return phase == hubapi.PhaseReady || phase == hubapi.PhaseFailed
}

// unfinished tells whether a wait ended without anybody knowing how the work ends: it goes on without the one who waited.
func unfinished(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || hubapi.LostConnection(err)
}
