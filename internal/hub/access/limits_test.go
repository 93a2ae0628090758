package access

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
)

func TestLimits(t *testing.T) {
	clock := newClock()
	l := newLimits(2, 3, clock.now)
	for i := range 3 {
		if wait, ok := l.take("a"); !ok {
			t.Fatalf("request %d of a burst of 3 has to wait %s", i+1, wait)
		}
	}
	wait, ok := l.take("a")
	if ok || wait != 500*time.Millisecond {
		t.Fatalf("the fourth: %s, %t", wait, ok)
	}
	if wait, ok := l.take("a"); ok || wait != 500*time.Millisecond {
		t.Errorf("who is refused does not pay: %s, %t", wait, ok)
	}
	if wait, yes := l.empty("a"); !yes || wait != 500*time.Millisecond {
		t.Errorf("empty: %s, %t", wait, yes)
	}
	if _, ok := l.take("b"); !ok {
		t.Error("another key suffers")
	}
	clock.advance(wait)
	if _, ok := l.take("a"); !ok {
		t.Error("after the time that was told it is still refused")
	}
}

func TestLimitsForget(t *testing.T) {
	clock := newClock()
	l := newLimits(1, 1, clock.now)
	for i := range maxBuckets + 10 {
		l.take(strconv.Itoa(i))
	}
	if len(l.buckets) > maxBuckets+1 {
		t.Fatalf("%d buckets are kept", len(l.buckets))
	}
	if _, ok := l.take("one more"); ok {
		t.Error("those beyond the bound are let through together")
	}
	clock.advance(time.Minute)
	if _, ok := l.take("later"); !ok || len(l.buckets) != 1 {
		t.Errorf("%d buckets are kept after all are full", len(l.buckets))
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "@": "@",
	} {
		if got := network(address); got != want {
			t.Errorf("network(%q) = %q, want %q", address, got, want)
		}
	}
}

func TestSource(t *testing.T) {
	believed, err := ParseProxies("10.0.0.0/8", "2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	for reason, tc := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"no proxy":                  {"192.0.2.1:5", nil, "192.0.2.1"},
		"forged by a client":        {"192.0.2.1:5", []string{"198.51.100.9"}, "192.0.2.1"},
		"one proxy":                 {"10.1.1.1:5", []string{"198.51.100.9"}, "198.51.100.9"},
		"forged through a proxy":    {"10.1.1.1:5", []string{"203.0.113.1, 198.51.100.9"}, "198.51.100.9"},
		"two proxies":               {"10.1.1.1:5", []string{"203.0.113.1, 198.51.100.9, 10.2.2.2"}, "198.51.100.9"},
		"several headers":           {"10.1.1.1:5", []string{"203.0.113.1", "198.51.100.9"}, "198.51.100.9"},
		"a proxy that says nothing": {"10.1.1.1:5", nil, "10.1.1.1"},
		"nonsense":                  {"10.1.1.1:5", []string{"<script>"}, "10.1.1.1"},
		"IPv6":                      {"[2001:db8::1]:5", []string{"2001:db9::7"}, "2001:db9::7"},
		"mapped":                    {"[::ffff:10.1.1.1]:5", []string{"::ffff:198.51.100.9"}, "198.51.100.9"},
		"a socket":                  {"@", []string{"198.51.100.9"}, "@"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tc.remote
		for _, value := range tc.forwarded {
			r.Header.Add("X-Forwarded-For", value)
		}
		if got := believed.Source(r); got != tc.want {
			t.Errorf("%s: %s, want %s", reason, got, tc.want)
		}
	}
}
