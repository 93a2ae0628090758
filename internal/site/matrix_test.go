package site_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

// The crash matrix through a hub: the gateway's process, the hub's or both are killed at the k-th call to vCenter, before
// the call is carried out and, where it changes anything, also after, and started again. Nobody tells the gateway what to
// go on with but the hub, and the hub knows only what it has kept.

// point is where a gateway is killed.
type point struct {
	call  int
	after bool
}

func (p point) String() string {
	if p.after {
		return fmt.Sprintf("after call %d", p.call)
	}
	return fmt.Sprintf("before call %d", p.call)
}

var errKilled = errors.New("it was killed")

// matrix is one row of the crash matrix: a change that is made again and again, and what brings the site back to where
// the change begins.
type matrix struct {
	s *site.Site
	// victims are killed together at every so many calls.
	victims []*site.Process
	every   int
	change  func() *site.Work
	reset   func() *site.Work
	slots   []string
}

func (m matrix) run(t *testing.T, name string) {
	t.Helper()
	points := 0
	for call := 1; ; call += m.every {
		method, reached := m.strike(t, name, point{call: call})
		if !reached {
			break
		}
		points++
		if strings.HasSuffix(method, "_Task") || method == "CreateFolder" {
			if _, reached := m.strike(t, name, point{call: call, after: true}); reached {
				points++
			}
		}
	}
	t.Logf("%s: killed at %d points", name, points)
	if points < 3 {
		t.Errorf("%s: only %d points: the matrix does not see the gateway's calls", name, points)
	}
}

// strike makes the change with the gateway killed at a point, and tells at which method, and whether it came so far.
func (m matrix) strike(t *testing.T, name string, at point) (method string, reached bool) {
	t.Helper()
	struck := make(chan string, 1)
	var mu sync.Mutex
	killed := false
	hook := func(method string, n int) error {
		mu.Lock()
		defer mu.Unlock()
		if !killed && n == at.call {
			killed = true
			for _, victim := range m.victims {
				victim.Kill()
			}
			struck <- method
		}
		if killed {
			return errKilled
		}
		return nil
	}
	m.s.VCenter.ResetCalls()
	if at.after {
		m.s.VCenter.AfterCall(hook)
	} else {
		m.s.VCenter.OnCall(hook)
	}
	work := m.change()
	select {
	case method = <-struck:
		reached = true
	case <-work.Done():
	}
	m.s.VCenter.OnCall(nil)
	m.s.VCenter.AfterCall(nil)
	for _, victim := range m.victims {
		if !victim.Running() {
			victim.Start()
		}
	}
	work.Wait()
	m.s.Verify(name+" killed "+at.String()+" "+method, m.slots...)
	m.reset().Wait()
	return method, reached
}

// victims are whom to kill in a site, and at how many of the calls.
var victims = map[string]struct {
	of    func(*site.Site) []*site.Process
	every int
}{
	"Gateway": {func(s *site.Site) []*site.Process { return []*site.Process{s.Replicas[0].Process} }, 1},
	"Hub":     {func(s *site.Site) []*site.Process { return []*site.Process{s.Hubs[0].Process} }, 4},
	"Both":    {func(s *site.Site) []*site.Process { return []*site.Process{s.Hubs[0].Process, s.Replicas[0].Process} }, 4},
}

// changes are what is going on meanwhile, each with how its row begins.
var changes = map[string]func(*site.Site) matrix{
	"Create": func(s *site.Site) matrix {
		return matrix{change: func() *site.Work { return s.Write(s.Spec(1)) }, reset: s.Delete, slots: site.Slots(1)}
	},
	"Scale": func(s *site.Site) matrix {
		s.Write(s.Spec(1)).Wait()
		return matrix{
			change: func() *site.Work { return s.Write(s.Spec(3)) },
			reset:  func() *site.Work { return s.Write(s.Spec(1)) },
			slots:  site.Slots(3),
		}
	},
	"Replace": func(s *site.Site) matrix {
		s.Write(s.Spec(1)).Wait()
		round := 0
		spec := func() hubapi.ClusterSpec {
			spec := s.Spec(1)
			spec.NTPServers = []string{fmt.Sprintf("10.0.%d.%d", round/250, round%250+1)}
			return spec
		}
		return matrix{
			change: func() *site.Work { round++; return s.Write(spec()) },
			reset:  func() *site.Work { return s.Write(spec()) },
			slots:  site.Slots(1),
		}
	},
	"Delete": func(s *site.Site) matrix {
		create := func() *site.Work { return s.Write(s.Spec(1)) }
		create().Wait()
		return matrix{change: s.Delete, reset: create}
	},
}

func TestSiteLongCrashMatrix(t *testing.T) {
	for victim, killed := range victims {
		for change, begin := range changes {
			t.Run(victim+"/"+change, func(t *testing.T) {
				t.Parallel() // Most of it is waiting for processes.
				s := site.New(t, site.Options{Hurried: true})
				m := begin(s)
				m.s, m.victims, m.every = s, killed.of(s), killed.every
				m.run(t, change)
			})
		}
	}
}
