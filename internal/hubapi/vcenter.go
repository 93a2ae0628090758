package hubapi

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// CanonicalVCenter returns the one form of a vCenter's address, host or host:port in lower case, for the forms in which
// people write it: with https:// before it and /sdk after it, with port 443 or without. User and password in the
// address are refused, and no error repeats an address that may hold them.
func CanonicalVCenter(s string) (string, error) {
	text := strings.TrimSpace(s)
	if addr, err := netip.ParseAddr(text); err == nil && addr.Is6() {
		text = "[" + text + "]"
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case strings.Contains(text, "@"):
		return "", errors.New("the vCenter's address holds a user: use username and password_wo")
	case err != nil || u.Hostname() == "":
		return "", fmt.Errorf("%q is not the name of a vCenter: write it like vcenter.example.com or 10.0.0.5:8443", s)
	case u.Scheme != "https":
		return "", fmt.Errorf("a vCenter is reached by https, not %s", u.Scheme)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "",
		strings.Trim(u.Path, "/") != "" && strings.Trim(u.Path, "/") != "sdk":
		return "", errors.New("the vCenter's address goes on after the host: nothing but /sdk may follow it")
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"):
		return "", errors.New("the vCenter's address ends with a colon and no port")
	}
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return "", err
	}
	if u.Port() == "" {
		return host, nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return "", fmt.Errorf("port %s is not between 1 and 65535", u.Port())
	}
	if port == 443 {
		return host, nil
	}
	return host + ":" + strconv.FormatUint(port, 10), nil
}

// canonicalHost checks a name (RFC 1123; underscores are tolerated because Windows DNS has them) or an address.
func canonicalHost(host string) (string, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", errors.New("the vCenter's address has a zone: it means something on one machine only")
		}
		if addr.Is6() {
			return "[" + addr.String() + "]", nil
		}
		return addr.String(), nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "" || len(name) > 253 {
		return "", errors.New("the vCenter's name is empty or longer than 253 characters")
	}
	for label := range strings.SplitSeq(name, ".") {
		if !validLabel(label) {
			return "", fmt.Errorf("%q is not a host name or IP address", host)
		}
	}
	return name, nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
		return false
	}
	return strings.IndexFunc(label, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}) < 0
}

// CanonicalThumbprint turns a SHA-1 or SHA-256 thumbprint, with or without colons, into upper-case hex with colons.
func CanonicalThumbprint(s string) (string, error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil || (len(raw) != 20 && len(raw) != 32) {
		return "", errors.New("a thumbprint has 20 (SHA-1) or 32 (SHA-256) bytes in hex")
	}
	parts := make([]string, len(raw))
	for i, b := range raw {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":"), nil
}
