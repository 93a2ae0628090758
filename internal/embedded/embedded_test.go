package embedded_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// process is an embedded hub as a process of its own would have it: it shares nothing with another but the directory.
type process struct {
	hub    *embedded.Hub
	client *hubapi.Client
}

func newProcess(t *testing.T, dataDir string) *process {
	t.Helper()
	hub := embedded.New("test", slog.New(slog.DiscardHandler), embedded.WithPace(20*time.Millisecond))
	client, err := clientOf(hub, dataDir)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{hub: hub, client: client}
	t.Cleanup(func() { p.end(t) })
	return p
}

func (p *process) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := p.hub.Close(ctx); err != nil {
		t.Errorf("closing the embedded hub: %v", err)
	}
}

func TestSecondProcessUsesTheFirst(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, second := newProcess(t, dir), newProcess(t, dir)
	one, err := first.client.Gateway(t.Context(), hubapi.SystemGatewayID)
	if err != nil {
		t.Fatal(err)
	}
	two, err := second.client.Gateway(t.Context(), hubapi.SystemGatewayID)
	if err != nil {
		t.Fatal(err)
	}
	if one.Status.PublicKey != two.Status.PublicKey || one.ID != two.ID {
		t.Errorf("two processes see two gateways: %s and %s", one.ID, two.ID)
	}
}

// TestTakeover ends the process that serves while another waits for a cluster: the other goes on with the work.
func TestTakeover(t *testing.T) {
	vcenter := testkit.Start(t, testkit.Options{Guests: testkit.GuestOptions{PhaseDelay: 50 * time.Millisecond}})
	dir := filepath.Join(t.TempDir(), "data")
	first, second := newProcess(t, dir), newProcess(t, dir)
	account, pool := setUp(t, first.client, vcenter)
	w := &crashWorld{account: account, pool: pool}
	written, err := second.client.PutCluster(t.Context(), uuid.NewString(),
		hubapi.ClusterWrite{Spec: w.spec(2)}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	ended := false
	err = second.client.WatchCluster(t.Context(), written.ID, 0, func(e hubapi.Event) error {
		if !ended && strings.Contains(e.Message, "clone crash-cp-0") {
			ended = true
			first.end(t)
		}
		if e.ObservedGeneration >= written.Generation {
			return hubapi.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !ended {
		t.Fatal("the first process never worked on the cluster")
	}
	found, err := second.client.Cluster(t.Context(), written.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !found.Status.Ready || len(found.Status.Machines) != 3 {
		t.Errorf("after the takeover: %+v", found.Status)
	}
	if v := vcenter.Violations(); len(v) > 0 {
		t.Error(strings.Join(v, "\n"))
	}
}

// TestTwoAppliesAtOnce writes a cluster while another apply waits for it.
func TestTwoAppliesAtOnce(t *testing.T) {
	vcenter := testkit.Start(t, testkit.Options{})
	vcenter.Guest("crash-cp-0", testkit.Behaviour{HangAt: "preflight"})
	dir := filepath.Join(t.TempDir(), "data")
	first, second := newProcess(t, dir), newProcess(t, dir)
	account, pool := setUp(t, first.client, vcenter)
	w := &crashWorld{account: account, pool: pool}
	written, err := first.client.PutCluster(t.Context(), uuid.NewString(),
		hubapi.ClusterWrite{Spec: w.spec(1)}, hubapi.WriteOptions{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan struct{}, 1)
	done := make(chan error, 1)
	go func() {
		done <- first.client.WatchCluster(ctx, written.ID, 0, func(hubapi.Event) error {
			select {
			case waiting <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-waiting
	_, err = second.client.PutCluster(t.Context(), written.ID, hubapi.ClusterWrite{Spec: w.spec(2)}, hubapi.WriteOptions{})
	if !errors.Is(err, hubapi.ErrBusy) {
		t.Errorf("a write while another apply waits: got %v, want busy", err)
	}
	cancel()
	<-done
	// Nobody waits any more: a cluster that hangs can be given up.
	if err := second.client.DeleteCluster(t.Context(), written.ID); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), second.client, written.ID, 0); err != nil {
		t.Fatal(err)
	}
}

func TestDataDir(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("a-long-name/", 12), "data")
	p := newProcess(t, deep)
	if _, err := p.client.Gateway(t.Context(), hubapi.SystemGatewayID); err != nil {
		t.Fatalf("a path too long for a socket: %v", err)
	}
	info, err := os.Stat(deep)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("others can enter the data directory: %s", info.Mode())
	}
	key, err := os.Stat(filepath.Join(deep, "gateway.json"))
	if err != nil {
		t.Fatal(err)
	}
	if key.Mode().Perm() != 0o600 {
		t.Errorf("others can read the gateway's key: %s", key.Mode())
	}
	if text, err := os.ReadFile(filepath.Join(deep, ".gitignore")); err != nil || strings.TrimSpace(string(text)) != "*" {
		t.Errorf("the directory could be committed: %q, %v", text, err)
	}
}

func TestClosedHubServesNobody(t *testing.T) {
	p := newProcess(t, filepath.Join(t.TempDir(), "data"))
	p.end(t)
	if _, err := p.hub.Transport(t.TempDir()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
