package agent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// sibling is another instance of the same hub.
func (h *fakeHub) sibling() *fakeHub {
	h.t.Helper()
	s := &fakeHub{
		t: h.t, ca: h.ca, cert: h.cert, instance: uuid.NewString(), gateway: h.gateway, validity: h.validity,
		sessions: make(chan *tunnel.Session, 100),
	}
	s.start("127.0.0.1:0")
	h.t.Cleanup(s.stop)
	return s
}

func instances(dir string) []string {
	status, err := ReadStatus(context.Background(), dir, "test")
	if err != nil || status.Running == nil {
		return nil
	}
	var names []string
	for _, s := range status.Running.Sessions {
		names = append(names, s.Instance)
	}
	return names
}

// TestEveryInstance shows that a gateway has one session with each instance of a hub, whether they have URLs of their own or
// stand behind a balancer, and that it follows when instances come and go.
func TestEveryInstance(t *testing.T) {
	a := newFakeHub(t)
	b := a.sibling()
	var withOwn atomic.Bool
	var third atomic.Pointer[fakeHub]
	info := func(h *fakeHub) func() gatewayapi.HubInfo {
		return func() gatewayapi.HubInfo {
			replicas := map[string]string{a.instance: "", b.instance: ""}
			if withOwn.Load() {
				replicas[third.Load().instance] = third.Load().url()
			}
			return gatewayapi.HubInfo{Instance: h.instance, Replicas: replicas}
		}
	}
	a.info, b.info = info(a), info(b)
	a.turnsAway, b.turnsAway = true, true
	balancer := balance(t, a, b)
	dir := newDir(t)
	if _, err := a.pair(dir); err != nil {
		t.Fatal(err)
	}
	setHub(t, dir, "http://"+balancer)
	runAgent(t, Config{DataDir: dir})
	both := []string{a.instance, b.instance}
	slices.Sort(both)
	waitFor(t, "there are sessions with both", func() bool { return slices.Equal(instances(dir), both) })
	if !slices.ContainsFunc(append(a.seen(), b.seen()...), func(h string) bool { return h == a.instance || h == b.instance }) {
		t.Error("a hub is not told which instances there are sessions with")
	}

	c := a.sibling()
	c.info = info(c)
	third.Store(c)
	withOwn.Store(true)
	if err := gatewayapi.NewClient(a.latest()).TellHub(t.Context(), a.info()); err != nil {
		t.Fatal(err)
	}
	c.session()
	if err := gatewayapi.NewClient(c.latest()).TellHub(t.Context(), gatewayapi.HubInfo{Instance: a.instance}); err == nil {
		t.Error("an instance became another one")
	}
}

// TestDraining shows that a new session is there before the old one goes.
func TestDraining(t *testing.T) {
	a := newFakeHub(t)
	b := a.sibling()
	replicas := map[string]string{a.instance: a.url(), b.instance: b.url()}
	a.info = func() gatewayapi.HubInfo {
		return gatewayapi.HubInfo{Instance: a.instance, Replicas: map[string]string{a.instance: a.url()}}
	}
	b.info = func() gatewayapi.HubInfo {
		return gatewayapi.HubInfo{Instance: b.instance, Replicas: map[string]string{b.instance: b.url()}}
	}
	dir := newDir(t)
	if _, err := a.pair(dir); err != nil {
		t.Fatal(err)
	}
	runAgent(t, Config{DataDir: dir})
	s := a.session()
	delete(replicas, a.instance)
	err := gatewayapi.NewClient(s).TellHub(t.Context(), gatewayapi.HubInfo{Instance: a.instance, Replicas: replicas, Draining: true})
	if err != nil {
		t.Fatal(err)
	}
	b.session()
	if _, err := gatewayapi.NewClient(s).Info(t.Context()); err != nil {
		t.Errorf("the old session went before the hub ended it: %v", err)
	}
}

// TestRetryAfter shows that a hub which is too busy is not asked more often than it wants.
func TestRetryAfter(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	hub.mu.Lock()
	hub.refuse, hub.dials = http.StatusServiceUnavailable, 0
	hub.mu.Unlock()
	runAgent(t, Config{DataDir: dir})
	waitFor(t, "it has dialled", func() bool { hub.mu.Lock(); defer hub.mu.Unlock(); return hub.dials > 0 })
	<-time.After(2900 * time.Millisecond)
	hub.mu.Lock()
	dials := hub.dials
	hub.refuse = 0
	hub.mu.Unlock()
	if dials != 1 {
		t.Errorf("%d dials within the 3 seconds that the hub asked for", dials)
	}
	hub.session()
}

// TestDuplicate shows that of two sessions with one instance the newer one counts: the hub has forgotten the older one.
func TestDuplicate(t *testing.T) {
	hub := newFakeHub(t)
	var again atomic.Int32
	hub.info = func() gatewayapi.HubInfo {
		info := gatewayapi.HubInfo{Instance: hub.instance, Replicas: map[string]string{hub.instance: ""}}
		if again.Add(1) == 1 {
			info.Replicas["another"] = "" // which has gone meanwhile
		}
		return info
	}
	dir := newDir(t)
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	runAgent(t, Config{DataDir: dir})
	first := hub.session()
	second := hub.session()
	select {
	case <-first.Done():
	case <-time.After(10 * time.Second):
		t.Error("there are two sessions with one instance")
	}
	if _, err := gatewayapi.NewClient(second).Info(t.Context()); err != nil {
		t.Errorf("the newer one: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		most := func(ceiling time.Duration) time.Duration { return ceiling }
		b := newBackoff(time.Now())
		b.draw = most
		var pauses []time.Duration
		for range 6 {
			pauses = append(pauses, b.next(time.Now(), 0))
		}
		ms := time.Millisecond
		if want := []time.Duration{200 * ms, 400 * ms, 800 * ms, 1500 * ms, 1500 * ms, 1500 * ms}; !slices.Equal(pauses, want) {
			t.Errorf("young trouble: %v", pauses)
		}
		time.Sleep(backoffYoung) //nolint:forbidigo // the bubble's clock
		if got := b.next(time.Now(), 0); got != 12800*ms {
			t.Errorf("old trouble: %s", got)
		}
		for range 20 {
			b.next(time.Now(), 0)
		}
		if got := b.next(time.Now(), 0); got != backoffMost {
			t.Errorf("very old trouble: %s", got)
		}
		b.lost(time.Now(), 5*time.Second)
		if got := b.next(time.Now(), 0); got != backoffSoon {
			t.Errorf("a session that did not hold: %s", got)
		}
		b.lost(time.Now(), backoffHeld)
		if got := b.next(time.Now(), 0); got != backoffFirst {
			t.Errorf("a session that held: %s", got)
		}
		if got := b.next(time.Now(), 20*time.Second); got < 20*time.Second || got > 22*time.Second {
			t.Errorf("the hub asked for 20 seconds: %s", got)
		}
		if got := b.next(time.Now(), 24*time.Hour); got > backoffAsked+2*time.Second {
			t.Errorf("the hub asked for a day: %s", got)
		}
		for range 1000 {
			if got := newBackoff(time.Now()).next(time.Now(), 0); got <= 0 || got > backoffFirst+ms {
				t.Fatalf("with jitter: %s", got)
			}
		}
	})
}

// TestAlone shows that a connection that has been lost for long is made anew from the ground up.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHubs("https://hub.example.com", slog.New(slog.DiscardHandler))
		began := time.Now()
		if err := h.watch(t.Context()); err != errAlone { //nolint:errorlint // the very one
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < aloneLimit || took > aloneLimit+time.Minute {
			t.Errorf("after %s", took)
		}
	})
}

func (h *fakeHub) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var names []string
	for _, header := range h.headers {
		names = append(names, strings.Split(header, ",")...)
	}
	return names
}

func (h *fakeHub) latest() *tunnel.Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open[len(h.open)-1]
}

func setHub(t *testing.T, dir, url string) {
	t.Helper()
	d, err := openDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.change(func(id *identity) { id.Hub = url }); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
}

// balance takes connections and hands each to the next of the hubs.
func balance(t *testing.T, hubs ...*fakeHub) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for next := 0; ; next++ {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", hubs[next/2%len(hubs)].server.Listener.Addr().String())
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}
