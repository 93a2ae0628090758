package downloads_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/downloads"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func ask(t *testing.T, h http.Handler, path, ranged string) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if ranged != "" {
		r.Header.Set("Range", ranged)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestExecutable(t *testing.T) {
	content := []byte("#!/bin/sh\necho a program\n")
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatal(err)
	}
	handlers := downloads.New(path, "1.2.3").Handlers()
	_, body := ask(t, handlers[hubapi.PathDownloads], hubapi.PathDownloads, "")
	var got hubapi.Downloads
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	want := hubapi.Downloads{Gateway: hubapi.Download{
		Path: hubapi.PathDownloadGateway, OS: runtime.GOOS, Arch: runtime.GOARCH, Version: "1.2.3",
		SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)),
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("downloads (-want +got):\n%s", diff)
	}
	resp, whole := ask(t, handlers[hubapi.PathDownloadGateway], hubapi.PathDownloadGateway, "")
	if resp.StatusCode != http.StatusOK || string(whole) != string(content) || resp.Header.Get("ETag") != `"`+want.Gateway.SHA256+`"` {
		t.Errorf("the file: %s %v %q", resp.Status, resp.Header, whole)
	}
	// A download that broke off is gone on with.
	resp, rest := ask(t, handlers[hubapi.PathDownloadGateway], hubapi.PathDownloadGateway, "bytes=10-")
	if resp.StatusCode != http.StatusPartialContent || string(rest) != string(content[10:]) {
		t.Errorf("the rest of the file: %s %q", resp.Status, rest)
	}
}

func TestOwnExecutable(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(own)
	if err != nil {
		t.Fatal(err)
	}
	resp, body := ask(t, downloads.New("", "test").Handlers()[hubapi.PathDownloadGateway], "/", "")
	if resp.StatusCode != http.StatusOK || int64(len(body)) != info.Size() {
		t.Errorf("own executable: %s, %d bytes, want %d", resp.Status, len(body), info.Size())
	}
	if resp, _ := ask(t, downloads.New("/does/not/exist", "test").Handlers()[hubapi.PathDownloads], "/", ""); resp.StatusCode < 500 {
		t.Errorf("a file that is not there: %s", resp.Status)
	}
}
