package site

import "testing"

// Place is where a process runs: a network namespace, or the test's own network where it has no name.
type Place struct{ namespace string }

// Here is the test's own network.
var Here Place

func (p Place) String() string {
	if p.namespace == "" {
		return "here"
	}
	return p.namespace
}

// run runs a command of the test's own to its end, for setting a site up.
func run(tb testing.TB, place Place, command ...string) string {
	tb.Helper()
	out, err := output(place, nil, command...)
	if err != nil {
		tb.Fatalf("%v: %v\n%s", command, err, out)
	}
	return out
}
