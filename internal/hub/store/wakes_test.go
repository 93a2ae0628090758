package store_test

import (
	"fmt"
	"testing"
)

// TestWakesOfSlowReader wakes for more topics than are kept for somebody who does not read: that one is told to look at
// everything, and hears of what comes after.
func TestWakesOfSlowReader(t *testing.T) {
	s := open(t, sqliteFile(t))
	topics, err := s.Wakes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const many = 5000
	for i := range many {
		s.Wake(t.Context(), fmt.Sprint("topic ", i))
	}
	s.Wake(t.Context(), "last")
	read, all := 0, false
	for topic := range topics {
		read++
		all = all || topic == ""
		if topic == "last" {
			break
		}
	}
	if !all || read > many/2 {
		t.Errorf("of %d topics %d were read; told to look at everything: %v", many, read, all)
	}
}
