package agent

import (
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestNotify shows that a service manager hears that the gateway runs, that it still does, and that it stops.
func TestNotify(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "300000")
	var heard []string
	listen := func(until string) {
		t.Helper()
		buffer := make([]byte, 100)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for !slices.Contains(heard, until) {
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatalf("heard %v, not %s: %v", heard, until, err)
			}
			heard = append(heard, string(buffer[:n]))
		}
	}
	stop := runAgent(t, Config{DataDir: dir})
	listen("WATCHDOG=1")
	stop()
	listen("STOPPING=1")
	if heard[0] != "READY=1" {
		t.Errorf("heard %v", heard)
	}
	for text, want := range map[string]time.Duration{"": 0, "x": 0, "-3": 0, "60000000": 20 * time.Second} {
		if every, ok := watchdogInterval(text); every != want || ok != (want > 0) {
			t.Errorf("%q: %s", text, every)
		}
	}
}
