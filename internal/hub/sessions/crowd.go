package sessions

import "sync"

const (
	// enrolments is how many processes without a certificate there may be at once, and enrolmentsOf how many of one network:
	// each may take its time, and has a tunnel meanwhile.
	enrolments   = 256
	enrolmentsOf = 64
)

// crowd bounds how many there are at once, in all and of one network.
type crowd struct {
	most, mostOf int

	mu  sync.Mutex
	all int
	of  map[string]int
}

func newCrowd(most, mostOf int) *crowd {
	return &crowd{most: most, mostOf: mostOf, of: map[string]int{}}
}

// enter counts one more, and tells whether there is room. Who has entered leaves, once.
func (c *crowd) enter(address string) (leave func(), ok bool) {
	network := networkOf(address)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.of[network] >= c.mostOf {
		return nil, false
	}
	c.all++
	c.of[network]++
	return func() { c.leave(network) }, true
}

func (c *crowd) leave(network string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[network]--; c.of[network] == 0 {
		delete(c.of, network)
	}
}
