package tunnel_test

import (
	"bufio"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel/tunneltest"
)

// FuzzFramesBeforeLogin sends any bytes in place of WebSocket frames. None of them make a session, and all are refused soon.
func FuzzFramesBeforeLogin(f *testing.F) {
	for _, seed := range []string{
		"",                                     // nothing
		"8200",                                 // not masked
		"828000000000",                         // empty
		"c28100000000ff",                       // compressed, which nobody agreed to
		"828100000000" + "16",                  // one byte of a record
		"82ff7fffffffffffffff",                 // a frame of 2^63 bytes
		"82ffffffffffffffffff",                 // a negative length
		"028100000000168081000000",             // fragmented
		"808100000000ff",                       // the rest of nothing
		"89fe007e00000000",                     // a ping that is too large
		"098000000000",                         // a ping in fragments
		"888000000000",                         // close
		"888200000000ffff",                     // close, with a code that is none
		"838000000000",                         // an opcode that is none
		"8a8000000000898000000000",             // a pong, and a ping
		"818500000000" + "68656c6c6f",          // text
		"474554202f20485454502f312e310d0a0d0a", // another request
	} {
		frame, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	private := tunneltest.NewAuthority(f, "the hub's authority")
	certificate := private.Server(hubName)
	refused := make(chan error, 1)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := tunnel.Accept(w, r, tunnel.AcceptConfig{
			TLS: &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, ClientCAs: private.Pool(),
			},
			HandshakeTimeout: 200 * time.Millisecond,
		})
		if err == nil {
			_ = session.Close()
		}
		refused <- err
	}))
	f.Cleanup(hub.Close)
	f.Fuzz(func(t *testing.T, frames []byte) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", hub.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "GET "+tunnel.Path+"?class=enrol HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("got %v and %v", response, err)
		}
		_, _ = conn.Write(frames)
		select {
		case err := <-refused:
			if err == nil {
				t.Error("a session came of it")
			}
		case <-time.After(10 * time.Second):
			t.Error("not refused in 10 seconds")
		}
	})
}
