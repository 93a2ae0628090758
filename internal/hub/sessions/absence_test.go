package sessions_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestAbsenceIsTold: who waits for a cluster hears that its gateway has gone and that it is back, and goes on waiting.
func TestAbsenceIsTold(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	c := r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	cluster := i.cluster("prod", i.account(g.ID).ID)
	r.report(said(cluster, "begun"))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var seen []string
	err := i.client.WatchCluster(ctx, cluster.ID, 0, func(e hubapi.Event) error {
		seen = append(seen, e.Message)
		switch {
		case e.Message == "begun":
			c.stop()
		case strings.Contains(e.Message, "not connected"):
			r.mustConnect(i)
		case strings.Contains(e.Message, "connected again"):
			r.report(said(cluster, "done"))
		case e.Message == "done":
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil || len(seen) != 4 {
		t.Errorf("seen %q, %v", seen, err)
	}
}

// TestWaitForState: whoever asks with a wait is answered as soon as the gateway has the state.
func TestWaitForState(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	began := time.Now()
	answers := make(chan hubapi.GatewayState, 1)
	go func() {
		resp, err := i.server.Client().Get(i.server.URL + "/v1/projects/default/gateways/" + g.ID + "?wait=20s&state=online")
		if err != nil {
			t.Error(err)
			close(answers)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		answers <- decodeState(t, resp.Body)
	}()
	r.mustConnect(i)
	if state := <-answers; state != hubapi.GatewayOnline || time.Since(began) > 5*time.Second {
		t.Errorf("answered %q after %s", state, time.Since(began))
	}
	began = time.Now()
	resp, err := i.server.Client().Get(i.server.URL + "/v1/projects/default/gateways/" + g.ID + "?wait=300ms&state=offline")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if state := decodeState(t, resp.Body); state != hubapi.GatewayOnline || time.Since(began) < 300*time.Millisecond {
		t.Errorf("answered %q after %s", state, time.Since(began))
	}
}

func decodeState(t *testing.T, body io.Reader) hubapi.GatewayState {
	t.Helper()
	var g hubapi.Gateway
	if err := json.NewDecoder(body).Decode(&g); err != nil {
		t.Error(err)
	}
	return g.Status.State
}
