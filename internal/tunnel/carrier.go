package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/coder/websocket"
)

// maxMessage bounds one WebSocket message, in bytes, before the peer is known and after: both ends send one or two records of
// the inner TLS in each.
const maxMessage = 64 * kib

// carrier makes a net.Conn of a WebSocket for the inner TLS. Deadlines are those of the socket below, so that neither reading
// nor writing needs a timer of its own, and one that is missed ends the connection.
type carrier struct {
	ws     *websocket.Conn
	outer  *outer
	socket net.Conn
	// message is what is left of the message being read.
	message io.Reader
}

func newCarrier(ws *websocket.Conn, o *outer, socket net.Conn) *carrier {
	ws.SetReadLimit(maxMessage)
	return &carrier{ws: ws, outer: o, socket: socket}
}

// Read reads from the current message, or from the next one.
func (c *carrier) Read(p []byte) (int, error) {
	for {
		if c.message == nil {
			if err := c.next(); err != nil {
				return 0, err
			}
		}
		n, err := c.message.Read(p)
		if errors.Is(err, io.EOF) {
			c.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *carrier) next() error {
	kind, message, err := c.ws.Reader(context.Background())
	switch {
	case websocket.CloseStatus(err) == websocket.StatusNormalClosure, websocket.CloseStatus(err) == websocket.StatusGoingAway:
		return io.EOF
	case err != nil:
		return err
	case kind != websocket.MessageBinary:
		return fmt.Errorf("%w: a message of type %v", ErrProtocol, kind)
	}
	c.message = message
	return nil
}

// Write sends p in one message, or in several where it is large.
func (c *carrier) Write(p []byte) (int, error) {
	c.outer.hold()
	written := 0
	var err error
	for written < len(p) && err == nil {
		part := p[written:min(len(p), written+maxMessage)]
		if err = c.ws.Write(context.Background(), websocket.MessageBinary, part); err == nil {
			written += len(part)
		}
	}
	return written, errors.Join(err, c.outer.release())
}

// Close ends the connection without a farewell: the inner TLS has said goodbye already, and a dead peer would not answer.
func (c *carrier) Close() error { return c.ws.CloseNow() }

// abort ends the connection below everything that could wait for a peer that is gone.
func (c *carrier) abort() { _ = c.socket.Close() }

// LocalAddr implements net.Conn.
func (c *carrier) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// RemoteAddr is the address of what is next on the way to the peer, such as a proxy.
func (c *carrier) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *carrier) SetDeadline(t time.Time) error { return c.socket.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *carrier) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *carrier) SetWriteDeadline(t time.Time) error { return c.socket.SetWriteDeadline(t) }
