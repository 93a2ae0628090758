package tunnel

import (
	"io"
	"sync"
)

// maxHeld is how much an outer connection gathers before it writes, in bytes: some records at once, and no more than lets the
// peer begin with the first while the last are made.
const maxHeld = 64 * kib

// outer is the connection that carries the WebSocket, already decrypted. The WebSocket writes in pieces of its buffer's size,
// and the inner TLS record by record. While it is held, an outer connection gathers them into one write, which is what makes
// large frames cheap.
type outer struct {
	io.ReadWriteCloser

	mu      sync.Mutex
	held    int
	waiting *[]byte
}

var heldBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, 8*kib)) }}

// Write writes through, or keeps a copy until release while somebody holds.
func (o *outer) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == 0 {
		return o.ReadWriteCloser.Write(p)
	}
	if o.waiting == nil {
		o.waiting, _ = heldBuffers.Get().(*[]byte)
	}
	*o.waiting = append(*o.waiting, p...)
	if len(*o.waiting) >= maxHeld {
		return len(p), o.flush()
	}
	return len(p), nil
}

func (o *outer) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held++
}

// release undoes one hold; with the last one goes out what has been gathered.
func (o *outer) release() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held--
	if o.held > 0 {
		return nil
	}
	return o.flush()
}

func (o *outer) flush() error {
	if o.waiting == nil {
		return nil
	}
	_, err := o.ReadWriteCloser.Write(*o.waiting)
	*o.waiting = (*o.waiting)[:0]
	heldBuffers.Put(o.waiting)
	o.waiting = nil
	return err
}
