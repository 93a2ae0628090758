package ippool

import (
	"context"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func newClient(t *testing.T) *hubapi.Client {
	t.Helper()
	client, err := hubapi.NewClient(hubapi.Config{Endpoint: "http://hub", Project: "default", Transport: http.DefaultTransport})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestPlansUnderway(t *testing.T) {
	var all plans
	one, other := newClient(t), newClient(t)
	first, second := hubapi.IPPoolWrite{Name: "a"}, hubapi.IPPoolWrite{Name: "b"}
	all.join(one, first)
	if diff := cmp.Diff([]hubapi.IPPoolWrite{first}, all.join(one, second)); diff != "" {
		t.Errorf("a plan's pools see each other: -want, +got:\n%s", diff)
	}
	if beside := all.join(other, second); len(beside) > 0 {
		t.Errorf("another plan's pools are in the way: %v", beside)
	}
	runtime.KeepAlive(one)
	runtime.KeepAlive(other)
}

// TestPlansEnd checks that a process that makes many plans does not keep them all.
func TestPlansEnd(t *testing.T) {
	var all plans
	for range 10 {
		all.join(newClient(t), hubapi.IPPoolWrite{Name: "a"})
	}
	held := func() int {
		all.mu.Lock()
		defer all.mu.Unlock()
		return len(all.writes)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for held() > 0 && ctx.Err() == nil {
		runtime.GC()
		runtime.Gosched()
	}
	if n := held(); n > 0 {
		t.Errorf("%d plans are kept whose clients are gone", n)
	}
}
