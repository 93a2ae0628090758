package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/postgres"
)

// instance is one of several hubs on one database. Each has a gateway end of its own, of which a test has one report.
func instance(t *testing.T, dsn string) *bench {
	t.Helper()
	b := &bench{t: t, gateway: newFakeGateway(), clock: &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
	records, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	b.serve(records, records.Close)
	t.Cleanup(func() { b.stop() })
	return b
}

// watching watches a cluster until the returned function is called. What comes arrives on the channel.
func (b *bench) watching(id string) (events <-chan hubapi.Event, leave func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	arrived := make(chan hubapi.Event, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.client.WatchCluster(ctx, id, 0, func(e hubapi.Event) error {
			arrived <- e
			return nil
		})
	}()
	return arrived, func() {
		cancel()
		<-done
	}
}

// awaitEvent returns the message of the next event.
func awaitEvent(t *testing.T, events <-chan hubapi.Event) string {
	t.Helper()
	select {
	case e := <-events:
		return e.Message
	case <-time.After(10 * time.Second):
		t.Fatal("no event has arrived")
		return ""
	}
}

func say(c *hubapi.Cluster, message string) gatewayapi.Report {
	return gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{ID: c.ID, Generation: c.Generation, Message: message}}
}

func TestInstances(t *testing.T) {
	server := postgres.Start(t)
	dsn := server.DSN(t)
	a, b := instance(t, dsn), instance(t, dsn)
	asked := spec("prod", a.account("lab").ID)
	c := a.create(asked)

	t.Run("events of one reach watchers at another", func(t *testing.T) {
		events, leave := b.watching(c.ID)
		defer leave()
		a.gateway.report(say(c, "first"))
		if got := awaitEvent(t, events); got != "first" {
			t.Errorf("got %q", got)
		}
		began := time.Now()
		a.gateway.report(say(c, "second"))
		if got := awaitEvent(t, events); got != "second" {
			t.Errorf("got %q", got)
		}
		took := time.Since(began)
		t.Logf("seen after %s", took)
		if took > time.Second {
			t.Errorf("seen after %s", took)
		}
	})

	t.Run("an apply that waits at another is running", func(t *testing.T) {
		events, leave := b.watching(c.ID)
		awaitEvent(t, events)
		changed := asked
		changed.WorkerPools = nil
		write := func() error {
			_, err := a.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: changed}, hubapi.WriteOptions{})
			return err
		}
		// That somebody watches is told to the other instance a moment later.
		for began := time.Now(); ; {
			err := write()
			if errors.Is(err, hubapi.ErrBusy) {
				break
			}
			if err != nil || time.Since(began) > 5*time.Second {
				t.Fatalf("got %v, want that another apply is running", err)
			}
		}
		leave()
		if err := write(); err != nil {
			t.Errorf("after the other apply has ended: %v", err)
		}
	})

	t.Run("creates of one name make one", func(t *testing.T) {
		again := asked
		again.Name, again.Endpoint.Host = "twice", "10.10.0.11"
		ids := make([]string, 20)
		var group errgroup.Group
		for i := range ids {
			group.Go(func() error {
				made, err := []*bench{a, b}[i%2].client.PutCluster(t.Context(), uuid.NewString(),
					hubapi.ClusterWrite{Spec: again}, hubapi.WriteOptions{Create: true})
				if err == nil {
					ids[i] = made.ID
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("two were made: %s and %s", ids[0], id)
			}
		}
	})

	t.Run("what is deleted is referred to by nothing", func(t *testing.T) {
		for i := range 10 {
			account := a.account(fmt.Sprint("short-lived ", i))
			refers := asked
			refers.Name, refers.CloudAccountID = fmt.Sprint("refers-", i), account.ID
			refers.Endpoint.Host = fmt.Sprint("10.10.1.", i)
			var group errgroup.Group
			var created, deleted error
			group.Go(func() error {
				_, created = a.client.PutCluster(t.Context(), uuid.NewString(),
					hubapi.ClusterWrite{Spec: refers}, hubapi.WriteOptions{Create: true})
				return nil
			})
			group.Go(func() error {
				deleted = b.client.DeleteCloudAccount(t.Context(), account.ID)
				return nil
			})
			_ = group.Wait()
			if (created == nil) == (deleted == nil) {
				t.Errorf("created: %v, deleted: %v; want one of the two", created, deleted)
			}
		}
	})

	t.Run("an instance that has gone waits for nothing", func(t *testing.T) {
		other := instance(t, dsn)
		events, leave := other.watching(c.ID)
		awaitEvent(t, events)
		leave()
		other.stop()
		if _, err := a.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: asked}, hubapi.WriteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// TestDatabaseAway stops the database below a hub and starts it again.
func TestDatabaseAway(t *testing.T) {
	server := postgres.Start(t)
	b := instance(t, server.DSN(t))
	c := b.create(spec("prod", b.account("lab").ID))
	events, leave := b.watching(c.ID)
	defer leave()
	b.gateway.report(say(c, "before"))
	awaitEvent(t, events)

	server.Stop(t)
	for _, path := range []string{c.ID, c.ID + "/events"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/v1/projects/default/clusters/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.transp.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		p := hubapi.DecodeProblem(resp)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusServiceUnavailable || p.Code != hubapi.CodeUnreachable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %v, Retry-After %q", path, resp.StatusCode, p, resp.Header.Get("Retry-After"))
		}
	}
	b.gateway.report(say(c, "meanwhile"))
	server.Resume(t)

	if got := awaitEvent(t, events); got != "meanwhile" {
		t.Errorf("what was reported meanwhile: got %q", got)
	}
	b.gateway.waitAcked(t)
	if _, err := b.client.PutCluster(t.Context(), uuid.NewString(),
		hubapi.ClusterWrite{Spec: spec("second", c.Spec.CloudAccountID)}, hubapi.WriteOptions{Create: true}); err == nil {
		t.Error("two clusters with one endpoint")
	} else if p, ok := errors.AsType[*hubapi.Problem](err); !ok || p.Code != hubapi.CodeInvalid {
		t.Errorf("the hub works again: got %v", err)
	}
}
