package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// unpack returns the files of a bundle.
func unpack(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for tarred := tar.NewReader(zipped); ; {
		header, err := tarred.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name[strings.LastIndexByte(header.Name, '/')+1:]], err = io.ReadAll(tarred); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoSecretGetsOut runs a replica through pairing, introduction, renewal, refused dials and bad requests, and looks for
// every secret in what it logs, shows and gathers.
func TestNoSecretGetsOut(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	token := hub.token()
	const proxyPassword = "s3cr3t-of-the-proxy"
	if _, err := Pair(t.Context(), PairConfig{Hub: hub.url(), Token: token, Name: "n", DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.NotFoundHandler())
	defer proxy.Close()
	d, err := openDirectory(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(d.change(func(id *identity) {
		id.Proxy = "http://user:" + proxyPassword + "@" + proxy.Listener.Addr().String()
	}), d.close())
	if err != nil {
		t.Fatal(err)
	}
	recent := &Recent{}
	log := slog.New(slog.NewJSONHandler(recent, &slog.HandlerOptions{Level: slog.LevelDebug}))
	health := freeAddress(t)
	runAgent(t, Config{DataDir: dir, Log: log, Recent: recent, Listen: health, Version: "test"})
	waitFor(t, "the proxy has refused", func() bool {
		status, err := ReadStatus(t.Context(), dir, "test")
		return err == nil && status.Running != nil && status.Running.Trouble != ""
	})
	parsed, _ := hubapi.ParsePairingToken(token)
	id, err := readIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	log.Error("somebody logs a key by mistake", "key", base64.StdEncoding.EncodeToString(id.SealingKey))
	secrets := map[string][]byte{
		"token": []byte(token), "token's secret": parsed.Secret, "introduction": parsed.Introduction,
		"sealing key": id.SealingKey, "TLS key": id.TLSKey, "identity key": id.IdentityKey, "proxy's password": []byte(proxyPassword),
	}
	var archive []byte
	if err := WriteBundle(t.Context(), dir, "test", func(b []byte) error { archive = b; return nil }); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, archive)
	for _, name := range []string{"about.json", "status.json", "log.jsonl", "metrics.txt", "goroutines.txt", "runtime.json"} {
		if len(files[name]) == 0 {
			t.Errorf("the bundle has no %s", name)
		}
	}
	if !bytes.Contains(files["goroutines.txt"], []byte("goroutine profile")) || !bytes.Contains(files["log.jsonl"], []byte("gateway starts")) {
		t.Error("the bundle says too little")
	}
	status, err := ReadStatus(t.Context(), dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	if err := errors.Join(status.Print(&shown, true), status.Print(&shown, false)); err != nil {
		t.Fatal(err)
	}
	files["status, printed"] = shown.Bytes()
	files["health"] = get(t, health)
	for name, content := range files {
		for what, secret := range secrets {
			for _, form := range []string{
				string(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), hex.EncodeToString(secret),
			} {
				if strings.Contains(string(content), form) {
					t.Errorf("%s shows the %s", name, what)
				}
			}
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// get reads all that the health listener says, and that it says no more.
func get(t *testing.T, address string) []byte {
	t.Helper()
	var all []byte
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 503, "/metrics": 200,
		"/status": 404, "/log": 404, "/goroutines": 404, "/debug/pprof/": 404, "/v1/info": 404,
	} {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, response.StatusCode, want)
		}
		all = append(all, text...)
	}
	http.DefaultClient.CloseIdleConnections()
	return all
}

func TestReadinessAndMetrics(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	health := freeAddress(t)
	runAgent(t, Config{DataDir: dir, Listen: health, Version: "1.2.3"})
	client := gatewayapi.NewClient(hub.session())
	if err := client.GiveLease(t.Context(), gatewayapi.Lease{Epoch: 4, Holder: true, TTLMillis: 60000}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "it is ready", func() bool {
		response, err := http.Get("http://" + health + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	response, err := http.Get("http://" + health + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	for _, want := range []string{
		"palette_gateway_hub_sessions 1", "palette_gateway_lease_held 1", "palette_gateway_lease_epoch 4",
		"palette_gateway_hub_connects_total 1", `palette_gateway_build_info{version="1.2.3"} 1`, "palette_gateway_certificate_expiry_timestamp_seconds",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics do not say %q", want)
		}
	}
	status, err := ReadStatus(t.Context(), dir, "x")
	if err != nil || !status.Running.Ready || !status.Running.Gateway.Holder || status.Public.Gateway != hub.gateway {
		t.Errorf("status %+v, %v", status, err)
	}
	if _, err := json.Marshal(status); err != nil {
		t.Error(err)
	}
}

// TestNotRunning shows what status and bundle say of a gateway that does not run, or was never paired.
func TestNotRunning(t *testing.T) {
	hub := newFakeHub(t)
	dir := newDir(t)
	if _, err := ReadStatus(t.Context(), dir, "x"); !errors.Is(err, ErrNotPaired) {
		t.Errorf("never paired: %v", err)
	}
	if _, err := hub.pair(dir); err != nil {
		t.Fatal(err)
	}
	status, err := ReadStatus(t.Context(), dir, "x")
	var shown bytes.Buffer
	if err != nil || status.Running != nil || status.Print(&shown, false) != nil || !strings.Contains(shown.String(), "no") {
		t.Errorf("not running: %+v, %v", status, err)
	}
	if err := WriteBundle(t.Context(), dir, "x", func([]byte) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestRecent(t *testing.T) {
	recent := &Recent{}
	for i := range maxRecent + 2 {
		_, _ = recent.Write([]byte(strings.Repeat("x", i%7) + "\n"))
	}
	_, _ = recent.Write(bytes.Repeat([]byte("y"), 10*maxRecentLine))
	lines := strings.Split(strings.TrimSuffix(string(recent.Bytes()), "\n"), "\n")
	if len(lines) != maxRecent || lines[0] != "xxx" || len(lines[maxRecent-1]) != maxRecentLine {
		t.Errorf("%d lines, the first %q, the last of %d bytes", len(lines), lines[0], len(lines[maxRecent-1]))
	}
}
