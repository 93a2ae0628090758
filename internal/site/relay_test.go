package site

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that says what it hears.
func echo(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				line, _ := bufio.NewReader(conn).ReadString('\n')
				_, _ = conn.Write([]byte(line))
			}()
		}
	}()
	return listener.Addr().String()
}

// say sends a line through a relay and returns how long the answer took.
func say(ctx context.Context, r *Relay, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(began.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := conn.Write([]byte("hello\n")); err != nil {
		return 0, err
	}
	_, err = bufio.NewReader(conn).ReadString('\n')
	return time.Since(began), err
}

func TestRelay(t *testing.T) {
	const enough = 5 * time.Second
	r := newRelay(t, freeAddr(t), echo(t))
	if _, err := say(t.Context(), r, enough); err != nil {
		t.Fatalf("a target that is there, beside one that is not: %v", err)
	}
	r.Slow(50 * time.Millisecond)
	if took, err := say(t.Context(), r, enough); err != nil || took < 100*time.Millisecond {
		t.Errorf("there and back on a slow path took %s, %v", took, err)
	}
	r.Slow(0)
	r.Freeze()
	if _, err := say(t.Context(), r, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a frozen path: %v", err)
	}
	r.Restore()
	r.Cut()
	if _, err := say(t.Context(), r, enough); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a path that is cut: %v", err)
	}
	r.Restore()
	if _, err := say(t.Context(), r, enough); err != nil {
		t.Errorf("a restored path: %v", err)
	}
}
