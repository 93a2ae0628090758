package hub_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// oneConn is a listener of one connection, whose deadlines run by the clock of the test's bubble.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	close(l.done)
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "test", Net: "unix"} }

// slowly has a test talk to a hub that has a cluster, in a bubble.
func slowly(t *testing.T, talk func(t *testing.T, conn net.Conn, clusterID string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		records, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "hub.db"))
		if err != nil {
			t.Fatal(err)
		}
		id := uuid.NewString()
		cluster := &store.Record{
			Kind: store.KindCluster, ID: id, Project: "mine", Name: "a", SpecJSON: []byte(`{"name":"a"}`), StatusJSON: []byte("{}"),
		}
		if err := records.Commit(t.Context(), store.Batch{Put: []*store.Record{cluster}}); err != nil {
			t.Fatal(err)
		}
		h, err := hub.New(hub.Config{Store: records, Gateways: hub.NewSystemGateway(systemID, nil)})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		listener := &oneConn{conns: make(chan net.Conn, 1), done: make(chan struct{})}
		listener.conns <- far
		server := &http.Server{Handler: h.Handler()}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		talk(t, near, id)
		_ = near.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-served
		if err := records.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestBodyThatNeverEnds: who begins to send a body and stops is answered after a minute, and its connection is closed.
func TestBodyThatNeverEnds(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, id string) {
		began := time.Now()
		go func() {
			_, _ = fmt.Fprintf(conn, "PUT /v1/projects/mine/clusters/%s HTTP/1.1\r\nHost: hub\r\nContent-Length: 100\r\n\r\n{", id)
		}()
		answers := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := hubapi.DecodeProblem(resp)
		if took := time.Since(began); resp.StatusCode != http.StatusBadRequest || p.Code != hubapi.CodeInvalid || took > 2*time.Minute {
			t.Errorf("answered %d %v after %s", resp.StatusCode, p, took)
		}
		if !resp.Close {
			t.Error("the connection may be used again")
		}
	})
}

// TestBodyThatComesSlowly: a body that arrives within its minute is read, and the deadline for it does not cut off what
// comes after.
func TestBodyThatComesSlowly(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, id string) {
		const body = `{"spec":{"colour":"blue"}}`
		go func() {
			_, _ = fmt.Fprintf(conn, "PUT /v1/projects/mine/clusters/%s HTTP/1.1\r\nHost: hub\r\nContent-Length: %d\r\n\r\n", id, len(body))
			for _, c := range body {
				timer := time.NewTimer(2 * time.Second)
				<-timer.C
				_, _ = conn.Write([]byte(string(c)))
			}
		}()
		answers := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p := hubapi.DecodeProblem(resp); !strings.Contains(p.Detail, "colour") {
			t.Errorf("answered %v", p)
		}
		timer := time.NewTimer(5 * time.Minute)
		<-timer.C
		go func() {
			_, _ = fmt.Fprintf(conn, "GET /v1/projects/mine/clusters/%s HTTP/1.1\r\nHost: hub\r\n\r\n", id)
		}()
		resp, err = http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("on the same connection, later: %v, %v", resp, err)
		}
	})
}

// TestWatcherThatDoesNotRead: a stream lives for as long as its reader reads, and not much longer.
func TestWatcherThatDoesNotRead(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, id string) {
		go func() {
			_, _ = fmt.Fprintf(conn, "GET /v1/projects/mine/clusters/%s/events HTTP/1.1\r\nHost: hub\r\n\r\n", id)
		}()
		answers := bufio.NewReader(conn)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		began := time.Now()
		one := make([]byte, 1)
		for time.Since(began) < time.Hour {
			if _, err := resp.Body.Read(one); err != nil {
				t.Fatalf("after %s the stream of one who reads ended: %v", time.Since(began), err)
			}
		}
		timer := time.NewTimer(2 * time.Minute)
		<-timer.C
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		for err = nil; err == nil; {
			_, err = resp.Body.Read(one)
		}
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Error("the stream of one who does not read was left open")
		}
	})
}
