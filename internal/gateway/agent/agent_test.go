package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

func TestPairAndRun(t *testing.T) {
	hub := newFakeHub(t)
	dir := filepath.Join(t.TempDir(), "gw")
	paired, err := hub.pair(dir)
	if err != nil {
		t.Fatal(err)
	}
	if paired.Gateway != hub.gateway || paired.Fingerprint != seal.Fingerprint(hub.taken[0].SealingKey) {
		t.Errorf("paired as %+v", paired)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, identityName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if _, err := hub.pair(dir); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("a second pairing: %v", err)
	}
	stop := runAgent(t, Config{DataDir: dir, Version: "test"})
	s := hub.session()
	client := gatewayapi.NewClient(s)
	info, err := client.Info(t.Context())
	if err != nil || info.ID != hub.gateway || seal.Fingerprint(info.PublicKey) != paired.Fingerprint {
		t.Errorf("info %+v, %v", info, err)
	}
	stop()
	select {
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Error("the session outlives the agent")
	}
}

func TestReconnect(t *testing.T) {
	hub := newFakeHub(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	runAgent(t, Config{DataDir: dir, Version: "test"})
	hub.session()
	address := hub.server.Listener.Addr().String()
	for range 3 {
		hub.stop()
		timer := time.NewTimer(2500 * time.Millisecond)
		<-timer.C
		hub.start(address)
		back := time.Now()
		hub.session()
		if took := time.Since(back); took > 2*time.Second {
			t.Errorf("the agent came back %s after the hub did", took)
		} else {
			t.Logf("back after %s", took)
		}
	}
}
