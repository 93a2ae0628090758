package hub_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func said(c *hubapi.Cluster, message string) gatewayapi.Report {
	return gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: c.Generation, ObservedGeneration: c.Generation - 1, Message: message,
		Status: hubapi.ClusterStatus{Phase: hubapi.PhaseProvisioning},
	}}
}

// messages watches until a message and returns all it saw.
func (b *bench) messages(id string, after int64, until string) (seen []string, last int64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	err := b.client.WatchCluster(ctx, id, after, func(e hubapi.Event) error {
		seen, last = append(seen, e.Message), e.Seq
		if e.Message == until {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		b.t.Fatalf("watching: %v, seen %q", err, seen)
	}
	return seen, last
}

func TestReportsAcrossLostStreams(t *testing.T) {
	b := newBench(t)
	c := b.create(spec("prod", b.account("prod").ID))
	b.gateway.report(said(c, "one"))
	b.gateway.waitAcked(t)
	b.gateway.cutStreams()
	b.gateway.report(said(c, "two"))
	b.gateway.waitAcked(t)
	b.gateway.restart("boot-2")
	b.gateway.report(said(c, "three"))
	b.gateway.waitAcked(t)

	seen, _ := b.messages(c.ID, 0, "three")
	if diff := cmp.Diff([]string{"one", "two", "three"}, seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	seen, _ = b.messages(c.ID, 2, "three")
	if diff := cmp.Diff([]string{"three"}, seen); diff != "" {
		t.Errorf("events after the second (-want +got):\n%s", diff)
	}
}

// TestLostAcknowledgement: a gateway that waits for one gets it though it has nothing more to report.
func TestLostAcknowledgement(t *testing.T) {
	b := newBench(t)
	c := b.create(spec("prod", b.account("prod").ID))
	b.gateway.set(func() { b.gateway.loseAcks = 1 })
	b.gateway.report(said(c, "one"))
	b.gateway.waitAcked(t)
	if seen, _ := b.messages(c.ID, 0, "one"); len(seen) != 1 {
		t.Errorf("kept %q", seen)
	}
}

func TestReportsAreKeptOnceAcrossHubs(t *testing.T) {
	b := newBench(t)
	c := b.create(spec("prod", b.account("prod").ID))
	b.gateway.report(said(c, "one"))
	b.gateway.waitAcked(t)
	b.stop()
	b.gateway.report(said(c, "two"))
	b.gateway.set(func() { b.gateway.after = nil })
	b.start()
	b.gateway.waitAcked(t)
	b.gateway.set(func() {
		if !slices.Equal(b.gateway.after, []string{"boot-1/1"}) {
			t.Errorf("asked for %q, want what follows report 1", b.gateway.after)
		}
	})
	seen, _ := b.messages(c.ID, 0, "two")
	if diff := cmp.Diff([]string{"one", "two"}, seen); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWatchResumesWork(t *testing.T) {
	b := newBench(t)
	c := b.create(spec("prod", b.account("prod").ID))
	b.stop()
	b.gateway.restart("boot-2")
	b.gateway.set(func() { b.gateway.assigned = nil })
	b.start()

	if _, err := b.client.Cluster(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(b.gateway.assignments()); n != 0 {
		t.Errorf("reading has made the gateway work: %d assignments", n)
	}
	b.gateway.report(said(c, "on it"))
	b.messages(c.ID, 0, "on it")
	given := b.gateway.assignments()
	if len(given) != 1 || given[0].Generation != 1 || given[0].ID != c.ID {
		t.Errorf("who waits for a cluster has it worked on; assigned %+v", given)
	}
	b.messages(c.ID, 0, "on it")
	if n := len(b.gateway.assignments()); n != 1 {
		t.Errorf("given %d times, want once", n)
	}
}

func TestGatewayRestartWhileWatched(t *testing.T) {
	b := newBench(t)
	c := b.create(spec("prod", b.account("prod").ID))
	b.gateway.report(said(c, "before"))
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		done <- b.client.WatchCluster(t.Context(), c.ID, 0, func(e hubapi.Event) error {
			switch e.Message {
			case "before":
				close(started)
			case "after":
				return hubapi.ErrStop
			}
			return nil
		})
	}()
	<-started
	b.gateway.restart("boot-2")
	b.gateway.set(func() { b.gateway.assigned = nil })
	b.gateway.report(gatewayapi.Report{Pool: &gatewayapi.PoolReport{ID: "of no cluster"}})
	b.gateway.waitAcked(t)
	if given := b.gateway.assignments(); len(given) != 1 || given[0].ID != c.ID {
		t.Errorf("a restarted gateway gets what is waited for; assigned %+v", given)
	}
	b.gateway.report(said(c, "after"))
	if err := <-done; err != nil {
		t.Errorf("watch ended with %v", err)
	}
}

func TestReportsThatDoNotFit(t *testing.T) {
	b := newBench(t)
	c := b.ready(spec("prod", b.account("prod").ID))
	for _, r := range []gatewayapi.ClusterReport{
		{ID: "6f1c1d5e-2d0f-4c39-9a3e-0a8a5f6affff", Message: "of a cluster that is not there"},
		{ID: c.ID, Generation: 1, ObservedGeneration: 9, Message: "ahead of the hub", Status: c.Status},
		{ID: c.ID, Generation: 1, ObservedGeneration: 0, Message: "late", Status: c.Status},
		{ID: c.ID, Generation: 1, ObservedGeneration: 1, Gone: true, Message: "gone without being deleted", Status: c.Status},
	} {
		b.gateway.report(gatewayapi.Report{Cluster: &r})
	}
	b.gateway.waitAcked(t)
	got := b.get(c.ID)
	if got.ObservedGeneration != 1 || got.DeletedAt != nil {
		t.Errorf("the record has become %+v", got)
	}
}

func TestWatchEndsWithFunctionsError(t *testing.T) {
	b := newBench(t)
	c := b.create(spec("prod", b.account("prod").ID))
	b.gateway.report(said(c, "one"))
	mine := errors.New("mine")
	if err := b.client.WatchCluster(t.Context(), c.ID, 0, func(hubapi.Event) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("got %v, want the function's error", err)
	}
}
