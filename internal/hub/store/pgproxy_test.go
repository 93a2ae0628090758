package store_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// pgProxy stands between a store and its server, counts what goes to the server, and cuts connections at chosen points.
type pgProxy struct {
	tb     testing.TB
	server string // socket of the server
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	trips  int      // how often an answer was waited for
	sent   []string // names of statements' messages
	// cut, when it is set, looks at each message to the server.
	cut func(message byte, body string) cutting
}

// cutting says when a connection is cut.
type cutting int

const (
	letPass cutting = iota
	cutBefore
	cutAfter // the server has answered, but the answer is lost
)

// newPGProxy returns a proxy and the directory of its socket.
func newPGProxy(tb testing.TB, serverDir string) (*pgProxy, string) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "pgproxy") //nolint:usetesting // Names of sockets are short.
	if err != nil {
		tb.Fatal(err)
	}
	p := &pgProxy{tb: tb, server: filepath.Join(serverDir, ".s.PGSQL.5432"), conns: map[net.Conn]struct{}{}}
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		tb.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(client) })
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		p.cutAll()
		running.Wait()
		_ = os.RemoveAll(dir)
	})
	return p, dir
}

func (p *pgProxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.conns[client] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.conns, client)
		p.mu.Unlock()
	}()
	var lost lostAnswers
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(io.MultiWriter(&lost, client), server)
		_ = client.Close()
	})
	p.forward(client, server, &lost)
	_ = server.Close()
	back.Wait()
}

// lostAnswers fails from the moment it is told to, which is when an answer has come that must not get through.
type lostAnswers struct {
	mu  sync.Mutex
	now bool
}

func (l *lostAnswers) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now {
		return 0, errors.New("the answer is lost")
	}
	return len(b), nil
}

// forward passes on one message after the other: a length first at the start, then a letter, a length and a body.
func (p *pgProxy) forward(client io.Reader, server io.Writer, lost *lostAnswers) {
	for first := true; ; first = false {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		var when cutting
		if !first {
			when = p.note(head[0], string(body))
		}
		if when == cutBefore {
			return
		}
		if when == cutAfter {
			lost.mu.Lock()
			lost.now = true
			lost.mu.Unlock()
		}
		if _, err := server.Write(slices.Concat(head, body)); err != nil {
			return
		}
	}
}

func (p *pgProxy) note(message byte, body string) cutting {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch message {
	case 'Q', 'S': // a simple query, the end of a pipeline
		p.trips++
		p.sent = append(p.sent, strings.TrimRight(string(message)+body, "\x00"))
	}
	if p.cut == nil {
		return letPass
	}
	return p.cut(message, strings.TrimRight(body, "\x00"))
}

// roundTrips returns how many there were since it was asked last.
func (p *pgProxy) roundTrips() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.trips
	p.trips, p.sent = 0, nil
	return n
}

// cutWhen has connections cut from now on; nil ends that.
func (p *pgProxy) cutWhen(cut func(message byte, body string) cutting) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
}

// cutAll cuts all connections there are.
func (p *pgProxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
