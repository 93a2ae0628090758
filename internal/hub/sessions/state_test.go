package sessions_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// TestWaitForState: whoever asks with a wait is answered as soon as the gateway has the state.
func TestWaitForState(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	ask := func(query string) hubapi.GatewayState {
		resp, err := i.server.Client().Get(i.server.URL + "/v1/projects/default/gateways/" + g.ID + "?" + query)
		if err != nil {
			t.Error(err)
			return ""
		}
		defer func() { _ = resp.Body.Close() }()
		var got hubapi.Gateway
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		return got.Status.State
	}
	began := time.Now()
	answers := make(chan hubapi.GatewayState, 1)
	go func() { answers <- ask("wait=20s&state=online") }()
	r.mustConnect(i)
	if state := <-answers; state != hubapi.GatewayOnline || time.Since(began) > 5*time.Second {
		t.Errorf("answered %q after %s", state, time.Since(began))
	}
	began = time.Now()
	if state := ask("wait=300ms&state=offline"); state != hubapi.GatewayOnline || time.Since(began) < 300*time.Millisecond {
		t.Errorf("answered %q after %s", state, time.Since(began))
	}
}
