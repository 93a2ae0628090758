package hub

import "sync"

// givenList remembers which generation of a cluster its gateway has been given since both are up. It is no record: what
// is forgotten is given again, which does no harm.
type givenList struct {
	mu         sync.Mutex
	generation map[string]int64
}

func newGivenList() *givenList { return &givenList{generation: map[string]int64{}} }

func (g *givenList) set(id string, generation int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.generation[id] = generation
}

func (g *givenList) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.generation, id)
}

func (g *givenList) has(id string, generation int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.generation[id] == generation
}
