package hubapi_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestProblemGoesThere(t *testing.T) {
	want := hubapi.NewProblem(hubapi.CodePrivileges, "lacks %s", "VirtualMachine.Config").At("/verify").WithHint("grant it")
	w := httptest.NewRecorder()
	w.Header().Set(hubapi.HeaderRequestID, "req-1")
	hubapi.WriteProblem(w, want)
	want.RequestID = "req-1"
	if diff := cmp.Diff(want, hubapi.DecodeProblem(w.Result())); diff != "" {
		t.Errorf("problem (-want +got):\n%s", diff)
	}
	if got := w.Result().Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type is %s", got)
	}
}

func TestProblemOfAStranger(t *testing.T) {
	for name, tc := range map[string]struct {
		status            int
		contentType, body string
		code              hubapi.Code
		detail            string
	}{
		"proxy page":    {502, "text/html", "<html>lots</html>", hubapi.CodeUnreachable, "answered 502 Bad Gateway"},
		"plain text":    {404, "text/plain; charset=utf-8", "no such page\nmore", hubapi.CodeNotFound, "answered 404 Not Found: no such page"},
		"broken":        {500, "application/problem+json", "{", hubapi.CodeInternal, "answered 500 Internal Server Error"},
		"no code in it": {403, "application/problem+json", `{"detail":"x"}`, hubapi.CodeForbidden, "answered 403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", tc.contentType)
			w.WriteHeader(tc.status)
			_, _ = w.WriteString(tc.body)
			p := hubapi.DecodeProblem(w.Result())
			if p.Code != tc.code || p.Detail != tc.detail || p.Status != tc.status {
				t.Errorf("got %+v, want code %s, detail %q", p, tc.code, tc.detail)
			}
		})
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add(`{"spec":{"name":"a"}}`)
	f.Add(`{"sealed_password":"hunter2 "}`)
	f.Add(`[1]`)
	f.Fuzz(func(t *testing.T, body string) {
		var v hubapi.CloudAccountWrite
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
		err := hubapi.ReadJSON(httptest.NewRecorder(), r, &v)
		p, ok := errors.AsType[*hubapi.Problem](err)
		if err != nil && (!ok || p.Status != http.StatusBadRequest || p.Code != hubapi.CodeInvalid) {
			t.Errorf("%q: %v", body, err)
		}
	})
}

func TestReadJSONDoesNotRepeatValues(t *testing.T) {
	for _, body := range []string{`{"sealed_password":"hunter2 !"}`, `{"name":["hunter2"]}`, `{"name":"hunter2`} {
		var v hubapi.CloudAccountWrite
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
		err := hubapi.ReadJSON(httptest.NewRecorder(), r, &v)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestETag(t *testing.T) {
	if n, err := hubapi.ParseETag(hubapi.ETag(17)); n != 17 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for _, bad := range []string{"", "*", `"5"`, `"g0"`, `"g-1"`, `"g05"`, `W/"g5"`, `"g5`, `g5"`, `"g99999999999999999999"`} {
		if n, err := hubapi.ParseETag(bad); err == nil {
			t.Errorf("%s was read as %d", bad, n)
		}
	}
}

func TestCanonicalVCenter(t *testing.T) {
	for in, want := range map[string]string{
		"vc.example.com":                   "vc.example.com",
		" VC.Example.com ":                 "vc.example.com",
		"vc.example.com.":                  "vc.example.com",
		"https://vc.example.com/sdk":       "vc.example.com",
		"HTTPS://vc.example.com:443/":      "vc.example.com",
		"https://vc.example.com:8443/sdk/": "vc.example.com:8443",
		"vc:08443":                         "vc:8443",
		"10.0.0.5":                         "10.0.0.5",
		"2001:DB8::1":                      "[2001:db8::1]",
		"[2001:db8:0::1]:8443":             "[2001:db8::1]:8443",
		"https://[::1]/sdk":                "[::1]",
	} {
		got, err := hubapi.CanonicalVCenter(in)
		if err != nil || got != want {
			t.Errorf("%q became %q (%v), want %q", in, got, err, want)
			continue
		}
		if again, err := hubapi.CanonicalVCenter(got); err != nil || again != got {
			t.Errorf("%q is not its own canonical form: %q, %v", got, again, err)
		}
	}
	for _, bad := range []string{
		"", "https://", "https://root:hunter2@vc", "root:hunter2@vc", "http://vc", "ftp://vc", "vc/ui", "vc?x=1", "vc#x", "vc:",
		"vc:0", "vc:70000", "vc:x", "-vc", "v c", "vc..example", "fe80::1%eth0", "https://root:hunter2@vc:%zz", "vçenter",
	} {
		if got, err := hubapi.CanonicalVCenter(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q became %q, %v", bad, got, err)
		}
	}
}

func TestCanonicalThumbprint(t *testing.T) {
	want := strings.Repeat("AB:", 19) + "AB"
	for _, in := range []string{want, strings.ToLower(want), strings.Repeat("ab", 20)} {
		if got, err := hubapi.CanonicalThumbprint(in); got != want || err != nil {
			t.Errorf("%s became %s, %v", in, got, err)
		}
	}
	for _, bad := range []string{"", "AB", strings.Repeat("ab", 21), strings.Repeat("xy", 20)} {
		if got, err := hubapi.CanonicalThumbprint(bad); err == nil {
			t.Errorf("%s became %s", bad, got)
		}
	}
}
