package agent

import (
	"bytes"
	"slices"
	"sync"
)

// maxRecent and maxRecentLine bound what is remembered of a log.
const (
	maxRecent     = 1000
	maxRecentLine = 4 << 10
)

// Recent remembers the last lines of a log. It is an io.Writer that a log handler writes to, one line a call.
type Recent struct {
	mu    sync.Mutex
	lines [][]byte
	next  int
}

// Write implements io.Writer.
func (r *Recent) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := bytes.Clone(line[:min(len(line), maxRecentLine)])
	if len(r.lines) < maxRecent {
		r.lines = append(r.lines, kept)
	} else {
		r.lines[r.next] = kept
		r.next = (r.next + 1) % maxRecent
	}
	return len(line), nil
}

// Bytes are the lines, the oldest first.
func (r *Recent) Bytes() []byte {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var text bytes.Buffer
	for _, line := range slices.Concat(r.lines[r.next:], r.lines[:r.next]) {
		text.Write(bytes.TrimRight(line, "\n"))
		text.WriteByte('\n')
	}
	return text.Bytes()
}
