package ippool

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// underway holds the pools that the plan under way writes. The hub knows of none of them yet, and Terraform plans each
// for itself, so that only here two new ones can be seen to overlap.
var underway plans

// plans are by client: Terraform configures a provider, which makes its client, once for each plan. They go when their
// client does.
type plans struct {
	mu     sync.Mutex
	writes map[weak.Pointer[hubapi.Client]]map[string]hubapi.IPPoolWrite
}

// join enters a pool, in the place of what was planned under its name, and returns the others by name.
func (p *plans) join(client *hubapi.Client, write hubapi.IPPoolWrite) []hubapi.IPPoolWrite {
	key := weak.Make(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writes == nil {
		p.writes = map[weak.Pointer[hubapi.Client]]map[string]hubapi.IPPoolWrite{}
	}
	if p.writes[key] == nil {
		p.writes[key] = map[string]hubapi.IPPoolWrite{}
		runtime.AddCleanup(client, p.forget, key)
	}
	mine := p.writes[key]
	delete(mine, write.Name)
	others := slices.SortedFunc(maps.Values(mine), func(a, b hubapi.IPPoolWrite) int { return strings.Compare(a.Name, b.Name) })
	mine[write.Name] = write
	return others
}

func (p *plans) forget(key weak.Pointer[hubapi.Client]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.writes, key)
}
