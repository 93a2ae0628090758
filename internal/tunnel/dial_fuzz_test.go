package tunnel

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzRefusal gives a dial any answer that is no WebSocket. What comes out is bounded, and fit for a log.
func FuzzRefusal(f *testing.F) {
	f.Add(503, "3", "busy")
	f.Add(429, "Wed, 21 Oct 2115 07:28:00 GMT", "\x1b[31mred\x00")
	f.Add(200, "-9223372036854775808", "\xff\xfe\u202e\u0085")
	f.Add(407, "99999999999999999999", strings.Repeat("a", 5000))
	f.Fuzz(func(t *testing.T, status int, wait, body string) {
		response := &http.Response{
			StatusCode: status, Header: http.Header{"Retry-After": {wait}}, Body: io.NopCloser(strings.NewReader(body)),
		}
		err := dialError(errors.New("no websocket"), response)
		var refused *RefusedError
		if !errors.As(err, &refused) {
			if status != http.StatusProxyAuthRequired && status != http.StatusSwitchingProtocols {
				t.Fatalf("status %d became %v", status, err)
			}
			return
		}
		if refused.RetryAfter < 0 || refused.RetryAfter > time.Hour {
			t.Errorf("told to wait for %s", refused.RetryAfter)
		}
		if len(refused.Reason) > 4*kib {
			t.Errorf("the reason has %d bytes", len(refused.Reason))
		}
		for _, r := range refused.Error() {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is in the message", r)
			}
		}
	})
}
