package agent

import "testing"

func TestBeside(t *testing.T) {
	const common = "https://hub.example.com"
	for _, tc := range []struct {
		reason, common, own string
		want                bool
	}{
		{"the common URL", common, common, true},
		{"another name of the domain", common, "https://hub-2.example.com/", true},
		{"a name below", common, "https://a.hub.example.com:443", true},
		{"another port of the same machine", common, "https://hub.example.com:8443", true},
		{"a path that the common one has", "https://hub.example.com/x", "https://hub-2.example.com/x/", true},
		{"an instance on the same address", "http://127.0.0.1:1", "http://127.0.0.1:2", true},
		{"a host that the policy allows", common, "https://10.9.8.7", true},
		{"metadata of a cloud", common, "http://169.254.169.254", false},
		{"in the clear", common, "http://hub-2.example.com:443", false},
		{"another port of another machine", common, "https://vcenter.example.com:9443", false},
		{"another domain", common, "https://hub.example.org", false},
		{"a domain that ends alike", common, "https://evilexample.com", false},
		{"a top-level domain", "https://hub.example", "https://evil.example", false},
		{"an address", common, "https://10.0.0.1", false},
		{"an address beside an address", "https://10.0.0.1", "https://10.0.0.2", false},
		{"an address that ends alike", "https://10.0.0.1", "https://1.0.0.1", false},
		{"a path", common, "https://hub.example.com/admin", false},
		{"a query", common, "https://hub.example.com?x=1", false},
		{"a user", common, "https://user:word@hub.example.com", false},
		{"a file", common, "file:///etc/passwd", false},
		{"a name in disguise", common, "https://hub.example.com@evil.org", false},
		{"nothing", common, "https://", false},
	} {
		if got := beside(tc.common, tc.own, []string{"10.9.8.7"}); got != tc.want {
			t.Errorf("%s: %s beside %s is %v", tc.reason, tc.own, tc.common, got)
		}
	}
}
