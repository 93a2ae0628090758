package tunnel

import "time"

// SetPatience changes how long a handshake may wait for its turn.
func (h *Handshakes) SetPatience(d time.Duration) { h.patience = d }
