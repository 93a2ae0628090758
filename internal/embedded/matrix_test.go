package embedded_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// The crash matrix: an engine in a process of its own is killed at every call it makes to vCenter, before the call is
// carried out and, where it changes anything, also after, and started again. Whatever the moment: the spec is met, each machine exists exactly
// once, nothing is left over, no address is lost and nothing of others is touched.

func TestCrashMatrixCreate(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	w := newCrashWorld(t, testkit.Options{})
	w.matrix("create",
		func() job { return job{Create: true, Spec: w.spec(1)} },
		[]string{"crash-cp-0", "crash-general-0"},
		func() { w.run(job{Delete: true}, nil) })
}

func TestCrashMatrixScale(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	w := newCrashWorld(t, testkit.Options{})
	w.run(job{Create: true, Spec: w.spec(1)}, nil)
	w.matrix("scale",
		func() job { return job{Spec: w.spec(3)} },
		[]string{"crash-cp-0", "crash-general-0", "crash-general-1", "crash-general-2"},
		func() { w.run(job{Spec: w.spec(1)}, nil) })
}

func TestCrashMatrixReplace(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	w := newCrashWorld(t, testkit.Options{})
	w.run(job{Create: true, Spec: w.spec(1)}, nil)
	round := 0
	w.matrix("replace",
		func() job {
			round++
			spec := w.spec(1)
			spec.NTPServers = []string{fmt.Sprintf("10.0.%d.%d", round/250, round%250+1)}
			return job{Spec: spec}
		},
		[]string{"crash-cp-0", "crash-general-0"},
		func() {})
}

func TestCrashMatrixDelete(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	w := newCrashWorld(t, testkit.Options{})
	create := func() { w.run(job{Create: true, Spec: w.spec(1)}, nil) }
	create()
	w.matrix("delete", func() job { return job{Delete: true} }, nil, create)
}

// TestCrashDuringClone kills the engine while vCenter copies a machine's disks. Whatever is asked next, the clone that
// goes on meanwhile is neither made twice nor forgotten.
func TestCrashDuringClone(t *testing.T) {
	t.Parallel()
	const copying = time.Second
	cases := map[string]struct {
		reason string
		next   func(*crashWorld) job
		slots  []string
	}{
		"Again":   {"the create goes on", func(w *crashWorld) job { return job{Create: true, Spec: w.spec(1)} }, []string{"crash-cp-0", "crash-general-0"}},
		"Delete":  {"the delete waits for what is to be deleted", func(*crashWorld) job { return job{Delete: true} }, nil},
		"Smaller": {"what is not wanted any more goes", func(w *crashWorld) job { return job{Create: true, Spec: w.spec(0)} }, []string{"crash-cp-0"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCrashWorld(t, testkit.Options{CloneDelay: copying})
			if !w.run(job{Create: true, Spec: w.spec(1)}, &point{method: "CloneVM_Task", after: true}) {
				t.Fatal("the engine cloned nothing")
			}
			w.run(tc.next(w), nil)
			w.verify(tc.reason, tc.slots...)
			<-time.After(2 * copying) // an orphan would have come to light by then
			w.verify(tc.reason+", also later", tc.slots...)
		})
	}
}
