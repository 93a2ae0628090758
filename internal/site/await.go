package site

import (
	"testing"
	"time"
)

// Eventually asks until there is no error any more, and fails the test with the last one when that takes too long.
func Eventually(tb testing.TB, limit time.Duration, reason string, ask func() error) {
	tb.Helper()
	began := time.Now()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			tb.Fatalf("%s: not within %s: %v", reason, limit, err)
		}
		<-ticker.C
	}
}
