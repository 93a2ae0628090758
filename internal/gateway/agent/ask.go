package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	askLimit  = 10 * time.Second
	maxAnswer = 32 << 20
)

// errNotRunning tells that no process answers for a data directory.
var errNotRunning = errors.New("no gateway runs on this data directory")

// ask asks the process that has the data directory.
func ask(ctx context.Context, dir, method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dir, socketName))
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, strings.NewReader("{}"))
	if err != nil {
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotRunning, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	return text, nil
}

// ReadStatus says how the replica of a data directory stands, whether or not it runs.
func ReadStatus(ctx context.Context, dir, version string) (Status, error) {
	id, err := readIdentity(dir)
	if err != nil {
		return Status{}, err
	}
	status := Status{Version: version, Public: id.public()}
	text, err := ask(ctx, dir, http.MethodGet, "/status")
	if errors.Is(err, errNotRunning) {
		return status, nil
	}
	if err != nil {
		return Status{}, err
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return Status{}, fmt.Errorf("reading the gateway's status: %w", err)
	}
	return status, nil
}

// Print writes the status for people, or as JSON.
func (s Status) Print(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(s); err != nil {
			return fmt.Errorf("writing the status: %w", err)
		}
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, name+"\t"+format+"\n", args...)
	}
	row("gateway", "%s (%s)", s.Public.GatewayName, s.Public.Gateway)
	row("project", "%s", s.Public.Project)
	row("replica", "%s (%s)", s.Public.Name, s.Public.Replica)
	row("key", "%s", s.Public.Fingerprint)
	if s.Public.Coming != "" {
		row("new key", "%s, once the hub has it", s.Public.Coming)
	}
	row("hub", "%s", s.Public.Hub)
	row("certificate until", "%s", s.Public.CertificateEnd.UTC().Format(time.RFC3339))
	row("version", "%s", s.Version)
	s.Running.rows(row)
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}

func (r *Running) rows(row func(name, format string, args ...any)) {
	if r == nil {
		row("running", "no")
		return
	}
	row("running", "since %s", r.Since.Format(time.RFC3339))
	for _, session := range r.Sessions {
		row("session", "with hub instance %s since %s", session.Instance, session.Since.Format(time.RFC3339))
	}
	if len(r.Sessions) == 0 {
		row("session", "none")
	}
	if r.Trouble != "" {
		row("last failure", "%s", strings.ReplaceAll(r.Trouble, "\n", " "))
	}
	if r.Gateway.Holder {
		row("lease", "held, epoch %d", r.Gateway.Epoch)
	} else {
		row("lease", "not held, epoch %d", r.Gateway.Epoch)
	}
	row("clusters", "%d worked on", r.Gateway.Clusters)
	row("vCenter sessions", "%d", r.Gateway.Sessions)
}
