package site_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

// The crash matrix through a hub: the gateway's process is killed at its k-th call to vCenter, before the call is carried
// out and, where it changes anything, also after, and started again. Nobody tells it what to go on with but the hub.

// strideVariable sets how many calls lie between two at which the gateway is killed; 1 is all of them.
const strideVariable = "PALETTE_TEST_STRIDE"

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

var errKilled = errors.New("the gateway was killed")

// matrix is one row of the crash matrix: a change that is made again and again, and what brings the site back to where
// the change begins.
type matrix struct {
	s      *site.Site
	change func() *site.Work
	reset  func() *site.Work
	slots  []string
}

func stride(t *testing.T) int {
	t.Helper()
	text := os.Getenv(strideVariable)
	if text == "" {
		return 7
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number from 1", strideVariable, text)
	}
	return n
}

func (m matrix) run(t *testing.T, name string) {
	t.Helper()
	points := 0
	for call := 1; ; call += stride(t) {
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
	gateway := m.s.Replicas[0]
	struck := make(chan string, 1)
	var mu sync.Mutex
	killed := false
	hook := func(method string, n int) error {
		mu.Lock()
		defer mu.Unlock()
		if !killed && n == at.call {
			killed = true
			gateway.Kill()
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
	if !gateway.Running() {
		gateway.Start()
	}
	work.Wait()
	m.s.Verify(name+" killed "+at.String()+" "+method, m.slots...)
	m.reset().Wait()
	return method, reached
}

func TestSiteLongCrashMatrix(t *testing.T) {
	t.Run("Create", func(t *testing.T) {
		t.Parallel() // Most of it is waiting for processes.
		s := site.New(t, site.Options{Hurried: true})
		matrix{
			s: s, slots: site.Slots(1), reset: s.Delete,
			change: func() *site.Work { return s.Write(s.Spec(1)) },
		}.run(t, "create")
	})
	t.Run("Scale", func(t *testing.T) {
		t.Parallel()
		s := site.New(t, site.Options{Hurried: true})
		s.Write(s.Spec(1)).Wait()
		matrix{
			s: s, slots: site.Slots(3),
			change: func() *site.Work { return s.Write(s.Spec(3)) },
			reset:  func() *site.Work { return s.Write(s.Spec(1)) },
		}.run(t, "scale")
	})
	t.Run("Replace", func(t *testing.T) {
		t.Parallel()
		s := site.New(t, site.Options{Hurried: true})
		s.Write(s.Spec(1)).Wait()
		round := 0
		spec := func() hubapi.ClusterSpec {
			spec := s.Spec(1)
			spec.NTPServers = []string{fmt.Sprintf("10.0.%d.%d", round/250, round%250+1)}
			return spec
		}
		matrix{
			s: s, slots: site.Slots(1),
			change: func() *site.Work { round++; return s.Write(spec()) },
			reset:  func() *site.Work { return s.Write(spec()) },
		}.run(t, "replace")
	})
	t.Run("Delete", func(t *testing.T) {
		t.Parallel()
		s := site.New(t, site.Options{Hurried: true})
		create := func() *site.Work { return s.Write(s.Spec(1)) }
		create().Wait()
		matrix{s: s, change: s.Delete, reset: create}.run(t, "delete")
	})
}
