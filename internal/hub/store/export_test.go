package store

import "time"

// SetTimeouts shortens what a test would have to wait for.
func (p *Postgres) SetTimeouts(read, write time.Duration) {
	p.readTimeout, p.writeTimeout = read, write
}
