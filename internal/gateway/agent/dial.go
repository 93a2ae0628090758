package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// dialer is how this machine gets out to the hub.
type dialer struct {
	proxy     func(*http.Request) (*url.URL, error) // nil is what the environment says
	outer     *tls.Config                           // nil believes the system's authorities
	userAgent string
}

func newDialer(proxy, outerCA, version string) (dialer, error) {
	d := dialer{userAgent: "terraform-provider-palette-gateway/" + version}
	if proxy != "" {
		// Its text may hold credentials, and url.Parse repeats it.
		u, err := url.Parse(proxy)
		if err != nil || u.Host == "" {
			return dialer{}, fmt.Errorf("the proxy's address is not a URL such as http://user:password@proxy.example.com:3128")
		}
		d.proxy = http.ProxyURL(u)
	}
	if outerCA != "" {
		roots, err := caPool(outerCA)
		if err != nil {
			return dialer{}, fmt.Errorf("the CA file for the hub's URL: %w", err)
		}
		d.outer = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	}
	return d, nil
}

func (d dialer) dial(ctx context.Context, to string, class tunnel.Class, inner *tls.Config, header http.Header) (*tunnel.Conn, error) {
	return tunnel.Dial(ctx, tunnel.DialConfig{
		URL: to, Class: class, Proxy: d.proxy, OuterTLS: d.outer, InnerTLS: inner, UserAgent: d.userAgent, Header: header,
	})
}

// printable keeps what a terminal or a log shows as it is: what others say may be meant to do more.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(text, ""))
}
