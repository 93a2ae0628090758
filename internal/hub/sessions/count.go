package sessions

// Count is how many gateways and replicas are connected to this instance.
type Count struct{ Gateways, Replicas int }

// Count returns how many are connected at the moment.
func (s *Sessions) Count() Count {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	var c Count
	for _, f := range s.registry.fleets {
		if len(f.replicas) > 0 {
			c.Gateways++
			c.Replicas += len(f.replicas)
		}
	}
	return c
}
