package testkit

import (
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// changes remembers when each object last changed and when it left the inventory, so that those who mirror the
// inventory read only what is new to them. Time is the count of all changes.
type changes struct {
	mu      sync.Mutex
	count   int64
	changed map[types.ManagedObjectReference]int64
	removed map[types.ManagedObjectReference]int64
	// news is closed by the next change; nil while nobody waits for it.
	news chan struct{}
}

func newChanges() *changes {
	return &changes{
		changed: map[types.ManagedObjectReference]int64{}, removed: map[types.ManagedObjectReference]int64{},
	}
}

// Reference is part of simulator.RegisterObject.
func (c *changes) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "Changes", Value: "Changes"}
}

// PutObject is part of simulator.RegisterObject.
func (c *changes) PutObject(_ *simulator.Context, object mo.Reference) {
	c.note(c.changed, object.Reference())
}

// UpdateObject is part of simulator.RegisterObject.
func (c *changes) UpdateObject(_ *simulator.Context, object mo.Reference, _ []types.PropertyChange) {
	c.note(c.changed, object.Reference())
}

// RemoveObject is part of simulator.RegisterObject.
func (c *changes) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	c.note(c.removed, ref)
}

func (c *changes) note(when map[types.ManagedObjectReference]int64, ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	when[ref] = c.count
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

func (c *changes) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// since tells whether an object has changed, and whether it was removed, after a point in time.
func (c *changes) since(seen int64, ref types.ManagedObjectReference) (changed, removed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed[ref] > seen, c.removed[ref] > seen
}

// after returns what is closed once anything has changed after a point in time.
func (c *changes) after(seen int64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count > seen {
		past := make(chan struct{})
		close(past)
		return past
	}
	if c.news == nil {
		c.news = make(chan struct{})
	}
	return c.news
}
