// Package tunnel owns the gateway's outbound connection, at both ends: the gateway dials a WebSocket over HTTPS, which proxies
// and balancers let pass; inside it runs TLS 1.3 with the hub's own certificates, end to end whoever ends the outer TLS; inside
// that HTTP/2 with the roles swapped, so that only the hub asks and the gateway can only answer. The gateway's end serves an
// http.Handler, the hub's end is an http.RoundTripper. Who the peers are, and what they say, is decided by the callers.
package tunnel

import (
	"net/http"
	"time"
)

// Path is where a hub accepts tunnels.
const Path = "/gw/v1/tunnel"

// Protocol is the ALPN name of the inner TLS. A peer that does not speak it is refused.
const Protocol = "palette-gw/1"

// Class is what a connection is for. Each class has a connection of its own, so that a large upload or a hundred stalled
// streams never stand in the way of control.
type Class string

// The classes. An enrolling gateway has no certificate yet; in all others both ends show one.
const (
	ClassControl Class = "control"
	ClassEnrol   Class = "enrol"
	ClassBulk    Class = "bulk"
	ClassStreams Class = "streams"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// limits are the HTTP/2 windows of a class. The connection's window is the product of the other two: less, and a few consumers
// that stall would stop all others; the windows of single streams bound what a path with a long round trip can carry.
type limits struct {
	streams int
	stream  int
}

func (l limits) connection() int { return l.streams * l.stream }

var classes = map[Class]limits{
	// 64 reads at once, and room beside them for what the hub has to say itself.
	ClassControl: {streams: 80, stream: mib},
	ClassEnrol:   {streams: 4, stream: 256 * kib},
	ClassBulk:    {streams: 8, stream: 16 * mib},
	ClassStreams: {streams: 256, stream: mib},
}

// Known tells whether there is such a class.
func (c Class) Known() bool {
	_, ok := classes[c]
	return ok
}

// mutual tells whether both ends show a certificate.
func (c Class) mutual() bool { return c != ClassEnrol }

const (
	// maxHeader bounds the headers of a request or a response inside the tunnel, in bytes.
	maxHeader = 64 * kib
	// maxFrame is the largest HTTP/2 frame; fewer and larger frames carry more.
	maxFrame = 256 * kib
	// writeTimeout ends a connection that takes no byte for that long.
	writeTimeout = 30 * time.Second
	// handshakeTimeout bounds what happens before a peer is known.
	handshakeTimeout = 10 * time.Second
)

// Heartbeat is how a dead peer is noticed, at either end: a ping after Idle without a word from it, and the end of the
// connection after Answer without an answer. The zero value is the default, which notices within 24 seconds and keeps the
// timers of proxies quiet that end idle connections after 20 seconds or more.
type Heartbeat struct {
	Idle   time.Duration
	Answer time.Duration
}

// DefaultHeartbeat is what a zero Heartbeat means.
var DefaultHeartbeat = Heartbeat{Idle: 15 * time.Second, Answer: 9 * time.Second}

func (h Heartbeat) orDefault() Heartbeat {
	if h.Idle <= 0 {
		h.Idle = DefaultHeartbeat.Idle
	}
	if h.Answer <= 0 {
		h.Answer = DefaultHeartbeat.Answer
	}
	return h
}

// http2 is the configuration of either end. Its fields say that windows must be below 4 MiB; the code takes up to 2 GiB, and
// the tests with stalled consumers and with a long path keep watch over that.
func (c Class) http2(h Heartbeat) *http.HTTP2Config {
	l := classes[c]
	h = h.orDefault()
	return &http.HTTP2Config{
		MaxConcurrentStreams:          l.streams,
		MaxReceiveBufferPerStream:     l.stream,
		MaxReceiveBufferPerConnection: l.connection(),
		MaxReadFrameSize:              maxFrame,
		SendPingTimeout:               h.Idle,
		PingTimeout:                   h.Answer,
		WriteByteTimeout:              writeTimeout,
	}
}

// onlyHTTP2 makes net/http speak HTTP/2 at once: the inner TLS is below, and has agreed on a protocol already.
func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}
