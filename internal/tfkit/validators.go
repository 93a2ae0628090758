package tfkit

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

var (
	dnsLabel          = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	kubernetesVersion = regexp.MustCompile(`^v1\.(0|[1-9]\d*)\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?$`)
	versionPrefix     = regexp.MustCompile(`^v?1\.(0|[1-9]\d*)(\.(0|[1-9]\d*)([-+][0-9A-Za-z.+-]+)?)?$`)
	keyFingerprint    = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	thumbprint        = regexp.MustCompile(`^([0-9A-Fa-f]{2}:){19}([0-9A-Fa-f]{2})$|^([0-9A-Fa-f]{2}:){31}([0-9A-Fa-f]{2})$`)
)

// maxLabelLength is the longest DNS label (RFC 1123).
const maxLabelLength = 63

// check is a validator of one string.
type check struct {
	summary     string
	description string
	valid       func(value string) error
}

var _ validator.String = check{}

// Description implements validator.String.
func (c check) Description(context.Context) string { return c.description }

// MarkdownDescription implements validator.String.
func (c check) MarkdownDescription(context.Context) string { return c.description }

// ValidateString implements validator.String. Null and unknown values pass.
func (c check) ValidateString(_ context.Context, req validator.StringRequest, resp *validator.StringResponse) {
	if req.ConfigValue.IsNull() || req.ConfigValue.IsUnknown() {
		return
	}
	value := req.ConfigValue.ValueString()
	if err := c.valid(value); err != nil {
		detail := fmt.Sprintf("%s: %s. The value %s.", quoted(value), err, c.description)
		resp.Diagnostics.AddAttributeError(req.Path, c.summary, withPlace(detail, req.Path))
	}
}

// DNSLabel accepts a DNS-1123 label: what Kubernetes and host names allow.
func DNSLabel() validator.String {
	return check{
		summary:     "Invalid Name",
		description: "must have 1 to 63 lower-case letters, digits or hyphens, and start and end with a letter or digit",
		valid: func(v string) error {
			if len(v) > maxLabelLength {
				return fmt.Errorf("it has %d characters", len(v))
			}
			return match(dnsLabel, v, "it is not a DNS label")
		},
	}
}

// KubernetesVersion accepts a full Kubernetes version, with its leading v, such as v1.34.1.
func KubernetesVersion() validator.String {
	return check{
		summary:     "Invalid Kubernetes Version",
		description: "must be a full Kubernetes version, such as v1.34.1",
		valid:       func(v string) error { return match(kubernetesVersion, v, "it is not a Kubernetes version") },
	}
}

// KubernetesVersionPrefix accepts a Kubernetes version with or without its patch level, such as v1.34 or v1.34.1.
func KubernetesVersionPrefix() validator.String {
	return check{
		summary:     "Invalid Kubernetes Version",
		description: "must be a minor version such as v1.34 or a full one such as v1.34.1",
		valid:       func(v string) error { return match(versionPrefix, v, "it is not a Kubernetes version") },
	}
}

// IPAddress accepts an IPv4 or IPv6 address.
func IPAddress() validator.String {
	return check{
		summary:     "Invalid IP Address",
		description: "must be an IPv4 or IPv6 address",
		valid: func(v string) error {
			_, err := parseAddr(v)
			return err
		},
	}
}

// CIDR accepts a prefix whose host bits are zero, such as 10.0.0.0/16.
func CIDR() validator.String {
	return check{
		summary:     "Invalid CIDR",
		description: "must be an IPv4 or IPv6 prefix with a length, such as 10.0.0.0/16",
		valid:       validCIDR,
	}
}

// HostPrefix accepts a host's address with its prefix length, such as 10.0.0.21/24.
func HostPrefix() validator.String {
	return check{
		summary:     "Invalid Address",
		description: "must be an address with a prefix length, such as 10.0.0.21/24",
		valid: func(v string) error {
			prefix, err := netip.ParsePrefix(v)
			if err != nil {
				return errors.New("it is not an address with a prefix length")
			}
			if !prefix.IsSingleIP() && prefix.Masked().Addr() == prefix.Addr() {
				return errors.New("it is the address of the network")
			}
			return nil
		},
	}
}

// AddressSet accepts an address, an inclusive range "a-b" or a prefix.
func AddressSet() validator.String {
	return check{
		summary:     "Invalid Address Set",
		description: "must be an address, a range such as 10.0.0.10-10.0.0.20, or a prefix such as 10.0.0.0/28",
		valid: func(v string) error {
			if strings.Contains(v, "/") {
				return validCIDR(v)
			}
			if first, last, ok := strings.Cut(v, "-"); ok {
				return validRange(strings.TrimSpace(first), strings.TrimSpace(last))
			}
			_, err := parseAddr(v)
			return err
		},
	}
}

// Thumbprint accepts a SHA-1 or SHA-256 thumbprint of a certificate, in hex with colons.
func Thumbprint() validator.String {
	return check{
		summary:     "Invalid Thumbprint",
		description: "must be a SHA-1 or SHA-256 thumbprint: 20 or 32 pairs of hex digits separated by colons",
		valid:       func(v string) error { return match(thumbprint, v, "it is not a thumbprint") },
	}
}

// GatewayID accepts the id of a gateway. The alias of the system gateway is refused: the hub answers with the
// gateway's own id, which would be a change that nobody asked for.
func GatewayID() validator.String {
	return check{
		summary:     "Invalid Gateway Id",
		description: "must be the id of a gateway; leave it out for the system gateway",
		valid: func(v string) error {
			if v == "" || v == hubapi.SystemGatewayID {
				return errors.New("it is not an id")
			}
			return nil
		},
	}
}

// VCenterAddress accepts a host with or without port, or an https URL of one that may end with /sdk.
func VCenterAddress() validator.String {
	return check{
		summary:     "Invalid vCenter Address",
		description: "must be a host name or address, with a port where that is not 443, or an https URL of one",
		valid: func(v string) error {
			_, err := hubapi.CanonicalVCenter(v)
			return err
		},
	}
}

// CACertificate accepts one or more PEM certificates.
func CACertificate() validator.String {
	return check{
		summary:     "Invalid CA Certificate",
		description: "must be one or more certificates in PEM form",
		valid:       func(v string) error { return validPEM([]byte(v)) },
	}
}

// Regexp accepts a regular expression in RE2 syntax.
func Regexp() validator.String {
	return check{
		summary:     "Invalid Regular Expression",
		description: "must be a regular expression in RE2 syntax (https://golang.org/s/re2syntax)",
		valid: func(v string) error {
			_, err := regexp.Compile(v)
			if err != nil {
				return fmt.Errorf("it does not compile: %w", err)
			}
			return nil
		},
	}
}

// Duration accepts a length of time between two others, such as 90s or 1h30m.
func Duration(least, most time.Duration) validator.String {
	return check{
		summary:     "Invalid Duration",
		description: fmt.Sprintf("must be a length of time such as 90s or 1h30m, from %s to %s", least, most),
		valid: func(v string) error {
			d, err := time.ParseDuration(v)
			if err != nil {
				return errors.New("it is not a length of time")
			}
			if d < least || d > most {
				return fmt.Errorf("it is %s", d)
			}
			return nil
		},
	}
}

// Base64 accepts standard base64 that is not empty.
func Base64() validator.String {
	return check{
		summary:     "Invalid Base64",
		description: "must be standard base64",
		valid: func(v string) error {
			if raw, err := base64.StdEncoding.DecodeString(v); err != nil || len(raw) == 0 {
				return errors.New("it is not base64")
			}
			return nil
		},
	}
}

// KeyFingerprint accepts the fingerprint of a gateway's key.
func KeyFingerprint() validator.String {
	return check{
		summary:     "Invalid Fingerprint",
		description: "must be a fingerprint such as sha256:3f9a... with 64 hex digits in lower case",
		valid:       func(v string) error { return match(keyFingerprint, v, "it is not a fingerprint") },
	}
}

// quoted is the value as a message shows it: long ones, such as certificates, by their start.
func quoted(value string) string {
	const longest = 64
	if len(value) > longest {
		value = value[:longest] + "..."
	}
	return strconv.Quote(value)
}

func match(re *regexp.Regexp, value, otherwise string) error {
	if !re.MatchString(value) {
		return errors.New(otherwise)
	}
	return nil
}

func parseAddr(value string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return netip.Addr{}, errors.New("it is not an IP address")
	}
	if addr.Zone() != "" {
		return netip.Addr{}, errors.New("it has a zone, which only one host can know")
	}
	return addr, nil
}

func validCIDR(value string) error {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		return errors.New("it is not a prefix")
	}
	if masked := prefix.Masked(); masked != prefix {
		return fmt.Errorf("it has host bits set, the prefix is %s", masked)
	}
	return nil
}

func validRange(first, last string) error {
	from, err := parseAddr(first)
	if err != nil {
		return fmt.Errorf("its start is wrong: %w", err)
	}
	to, err := parseAddr(last)
	if err != nil {
		return fmt.Errorf("its end is wrong: %w", err)
	}
	if from.Is4() != to.Is4() {
		return errors.New("it mixes IPv4 and IPv6")
	}
	if to.Less(from) {
		return errors.New("it ends before it starts")
	}
	return nil
}

func validPEM(data []byte) error {
	found := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("it holds a %s", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return errors.New("a certificate in it cannot be read")
		}
		found++
	}
	if found == 0 {
		return errors.New("it holds no certificate")
	}
	return nil
}
