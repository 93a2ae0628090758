package agent

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"time"
)

// WriteBundle gathers what helps to find a fault. Nothing in it is secret: what the process tells holds no secrets, and
// what would be one of this replica's keys all the same is taken out.
func WriteBundle(ctx context.Context, dir, version string, write func([]byte) error) error {
	id, err := readIdentity(dir)
	if err != nil && !errors.Is(err, ErrNotPaired) {
		// A damaged identity is what a bundle may be made for.
		id = identity{}
	}
	files := bundleFiles(ctx, dir, version, id, err)
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	tarred := tar.NewWriter(zipped)
	for _, f := range files {
		content := scrub(f.content, id)
		header := &tar.Header{Name: "palette-gateway-support/" + f.name, Mode: 0o600, Size: int64(len(content)), ModTime: time.Now()}
		if err := tarred.WriteHeader(header); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
		if _, err := tarred.Write(content); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	if err := errors.Join(tarred.Close(), zipped.Close()); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return write(archive.Bytes())
}

type bundleFile struct {
	name    string
	content []byte
}

func bundleFiles(ctx context.Context, dir, version string, id identity, readErr error) []bundleFile {
	about := map[string]any{
		"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH,
		"made": time.Now().UTC(), "data_dir": dir, "identity": id.public(),
	}
	if readErr != nil {
		about["identity_error"] = readErr.Error()
	}
	text, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		text = []byte(err.Error())
	}
	files := []bundleFile{{"about.json", text}}
	for name, path := range map[string]string{
		"status.json": "/status", "log.jsonl": "/log", "metrics.txt": "/metrics", "goroutines.txt": "/goroutines", "runtime.json": "/runtime",
	} {
		content, err := ask(ctx, dir, http.MethodGet, path)
		if err != nil {
			content = []byte(err.Error() + "\n")
		}
		files = append(files, bundleFile{name, content})
	}
	return files
}

// removed stands where a secret was.
var removed = []byte("[removed]")

// scrub takes out the replica's secrets, in each form in which they could have been written.
func scrub(text []byte, id identity) []byte {
	for _, secret := range id.secrets() {
		if len(secret) < 6 {
			continue
		}
		for _, form := range [][]byte{
			secret,
			[]byte(base64.StdEncoding.EncodeToString(secret)), []byte(base64.RawStdEncoding.EncodeToString(secret)),
			[]byte(base64.URLEncoding.EncodeToString(secret)), []byte(base64.RawURLEncoding.EncodeToString(secret)),
			[]byte(hex.EncodeToString(secret)),
		} {
			text = bytes.ReplaceAll(text, form, removed)
		}
	}
	return text
}

// secrets are the parts of the identity that nobody else may know.
func (id identity) secrets() [][]byte {
	all := [][]byte{id.TLSKey, id.IdentityKey, id.SealingKey, []byte(id.Proxy)}
	if u, err := url.Parse(id.Proxy); err == nil && u.User != nil {
		password, _ := u.User.Password()
		all = append(all, []byte(password))
	}
	for _, in := range id.Introductions {
		all = append(all, in.Secret)
	}
	return all
}
