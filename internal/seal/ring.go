package seal

import "sync"

// Ring is the keys of an owner who has had several: it seals with the first one and opens with any of them. Its keys may be
// changed while others use it.
type Ring struct {
	mu   sync.RWMutex
	keys []*PrivateKey
}

// NewRing returns a ring that seals with the first key.
func NewRing(first *PrivateKey, others ...*PrivateKey) *Ring {
	return &Ring{keys: append([]*PrivateKey{first}, others...)}
}

// Follow makes the ring have another one's keys.
func (r *Ring) Follow(other *Ring) {
	keys := other.all()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
}

func (r *Ring) all() []*PrivateKey {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys
}

// PublicKey is the public half of the key that the ring seals with.
func (r *Ring) PublicKey() []byte { return r.all()[0].PublicKey() }

// Open is PrivateKey.Open with whichever key fits.
func (r *Ring) Open(b Binding, sealed []byte) (secret []byte, err error) {
	for _, key := range r.all() {
		if secret, err = key.Open(b, sealed); err == nil {
			return secret, nil
		}
	}
	return nil, err
}

// SealOwn is PrivateKey.SealOwn.
func (r *Ring) SealOwn(b Binding, secret []byte) ([]byte, error) {
	return r.all()[0].SealOwn(b, secret)
}

// OpenOwn is PrivateKey.OpenOwn with whichever key fits.
func (r *Ring) OpenOwn(b Binding, sealed []byte) (secret []byte, own bool, err error) {
	for _, key := range r.all() {
		if secret, own, err = key.OpenOwn(b, sealed); err == nil {
			return secret, own, nil
		}
	}
	return nil, false, err
}
