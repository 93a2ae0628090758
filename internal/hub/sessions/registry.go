package sessions

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// live is a replica with a tunnel to this instance.
type live struct {
	id      authority.ReplicaID
	tunnel  *tunnel.Session
	client  *gatewayapi.Client
	since   time.Time
	version string
	serial  uint64
	// leaving is set when the replica has resigned: it is about to go. The registry's mutex guards it.
	leaving bool
	// key is what the replica seals to, as far as whoever keeps the tunnel knows.
	key []byte
}

// registry is who is connected at the moment, and who works.
type registry struct {
	mu     sync.Mutex
	serial uint64
	fleets map[string]*fleet // by gateway
	links  map[string]*link  // by gateway
	// linked is closed and made anew when links change.
	linked chan struct{}
}

// fleet is the replicas of one gateway.
type fleet struct {
	replicas map[string]*live
	changed  chan struct{} // closed and made anew at each change
	kept     bool          // somebody sees to the lease
	// holder has the lease; elsewhere tells that another instance gives it.
	holder    string
	elsewhere bool
	// resigned is what was given up in order, and not yet heeded.
	resigned resignation
}

// resignation is a lease that its holder has given up, after it stopped its work.
type resignation struct {
	replica string
	epoch   int64
}

type link struct {
	hub.Link

	live *live
	end  context.CancelFunc
}

func newRegistry() *registry {
	return &registry{fleets: map[string]*fleet{}, links: map[string]*link{}, linked: make(chan struct{})}
}

func (r *registry) fleet(gateway string) *fleet {
	f, ok := r.fleets[gateway]
	if !ok {
		f = &fleet{replicas: map[string]*live{}, changed: make(chan struct{})}
		r.fleets[gateway] = f
	}
	return f
}

func (f *fleet) wake() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// add makes a replica known. An older tunnel of the same replica is returned: it is to be closed. Unkept tells that nobody
// sees to the gateway's lease yet: the caller does from now on, until forget tells it that nobody is left.
func (r *registry) add(l *live) (older *live, unkept bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serial++
	l.serial = r.serial
	f := r.fleet(l.id.Gateway)
	unkept, f.kept = !f.kept, true
	older = f.replicas[l.id.Replica]
	f.replicas[l.id.Replica] = l
	if older != nil {
		r.unlink(l.id.Gateway, older)
	}
	f.wake()
	return older, unkept
}

// remove forgets a tunnel that has ended.
func (r *registry) remove(l *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlink(l.id.Gateway, l)
	f, ok := r.fleets[l.id.Gateway]
	if !ok || f.replicas[l.id.Replica] != l {
		return
	}
	delete(f.replicas, l.id.Replica)
	f.wake()
}

// members returns a gateway's replicas, those that are connected longest first, and a channel that is closed when that
// changes.
func (r *registry) members(gateway string) ([]*live, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.fleet(gateway)
	return f.sorted(), f.changed
}

func (f *fleet) sorted() []*live {
	members := make([]*live, 0, len(f.replicas))
	for _, l := range f.replicas {
		members = append(members, l)
	}
	slices.SortFunc(members, func(a, b *live) int { return cmp.Compare(a.serial, b.serial) })
	return members
}

// forget drops what is known of a gateway that nobody is connected as, and tells whether that was so.
func (r *registry) forget(gateway string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.fleets[gateway]
	if ok && len(f.replicas) > 0 {
		return false
	}
	if ok {
		f.holder = ""
		f.wake() // Those who wait get a channel that lives.
		delete(r.fleets, gateway)
	}
	return true
}

// wake tells those who look at a gateway to look again.
func (r *registry) wake(gateway string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.fleets[gateway]; ok {
		f.wake()
	}
}

func (r *registry) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.fleets {
		f.wake()
	}
}

// all returns every tunnel.
func (r *registry) all() []*live {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*live
	for _, f := range r.fleets {
		all = append(all, f.sorted()...)
	}
	return all
}

func (r *registry) closeAll() {
	for _, l := range r.all() {
		_ = l.tunnel.Close() // It is on its way out; there is nobody to tell.
	}
}

// reader returns the replica that is asked: the holder when it is connected, else the one that is connected longest.
func (r *registry) reader(gateway string) *live {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.fleets[gateway]
	if !ok || len(f.replicas) == 0 {
		return nil
	}
	if holder, ok := f.replicas[f.holder]; ok && !holder.going() {
		return holder
	}
	members := f.sorted()
	if i := slices.IndexFunc(members, func(l *live) bool { return !l.going() }); i >= 0 {
		return members[i]
	}
	return members[0]
}

// going tells whether a replica takes no more requests: it is about to end. The registry's mutex is held.
func (l *live) going() bool { return l.leaving || l.tunnel.Draining() }

// staying returns those of a gateway's replicas that are not about to end.
func (r *registry) staying(members []*live) []*live {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(members), (*live).going)
}

// resign notes that a replica has given up the lease of the epoch. Where it has come again meanwhile it has the lease still:
// the word was of its earlier life.
func (r *registry) resign(l *live, epoch int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.fleets[l.id.Gateway]
	if !ok {
		return // Nobody is left who could take over here.
	}
	if now, ok := f.replicas[l.id.Replica]; ok && now != l {
		return
	}
	l.leaving = true
	f.resigned = resignation{replica: l.id.Replica, epoch: epoch}
	r.unlink(l.id.Gateway, l)
	f.wake()
}

// resigned returns what a gateway's holder has given up; the zero value is nothing.
func (r *registry) resigned(gateway string) resignation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.fleets[gateway]; ok {
		return f.resigned
	}
	return resignation{}
}

// presence returns who is connected as a gateway.
func (r *registry) presence(gateway string) (hub.Presence, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.fleet(gateway)
	p := hub.Presence{Replicas: map[string]hub.ReplicaPresence{}, Holder: f.holder, Elsewhere: f.elsewhere}
	for id, l := range f.replicas {
		p.Replicas[id] = hub.ReplicaPresence{Since: l.since, Version: l.version}
	}
	return p, f.changed
}

// setHolder notes who has a gateway's lease, and whether another instance gives it.
func (r *registry) setHolder(gateway, replica string, elsewhere bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.fleet(gateway); f.holder != replica || f.elsewhere != elsewhere {
		f.holder, f.elsewhere = replica, elsewhere
		f.wake()
	}
}

// link makes a replica the one that works, for this instance, under the epoch. The link before it ends.
func (r *registry) link(l *live, instance string, epoch int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gateway := l.id.Gateway
	if now, ok := r.links[gateway]; ok && now.live == l && now.Epoch == epoch {
		return
	}
	if r.fleet(gateway).replicas[l.id.Replica] != l {
		return // It has gone in between.
	}
	r.unlink(gateway, nil)
	r.serial++
	life, end := context.WithCancel(context.Background())
	r.links[gateway] = &link{live: l, end: end, Link: hub.Link{
		Serial: r.serial, Gateway: gateway, Project: l.id.Project, Epoch: epoch, Instance: instance,
		Resumes: true, Transport: l.tunnel, Life: life, Resign: func() { r.resign(l, epoch) },
	}}
	r.relink()
}

// drop ends a gateway's link.
func (r *registry) drop(gateway string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlink(gateway, nil)
}

// unlink ends a gateway's link if it leads to the replica; nil is any. The caller holds mu.
func (r *registry) unlink(gateway string, l *live) {
	now, ok := r.links[gateway]
	if !ok || (l != nil && now.live != l) {
		return
	}
	now.end()
	delete(r.links, gateway)
	r.relink()
}

func (r *registry) relink() {
	close(r.linked)
	r.linked = make(chan struct{})
}

func (r *registry) allLinks() ([]hub.Link, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	links := make([]hub.Link, 0, len(r.links))
	for _, l := range r.links {
		links = append(links, l.Link)
	}
	return links, r.linked
}
