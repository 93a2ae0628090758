package hubapi

import (
	"crypto/x509"
	"errors"
	"net"
)

// unreachableError is a problem that keeps its cause, so that a caller can ask for either.
type unreachableError struct {
	*Problem
	cause error
}

// Unwrap gives errors.Is and errors.As both.
func (e *unreachableError) Unwrap() []error { return []error{e.Problem, e.cause} }

// Unreachable makes a CodeUnreachable problem of a failed connection. The cause stays reachable by errors.Is.
func Unreachable(cause error) error { return unreachable(cause) }

func unreachable(cause error) *unreachableError {
	return &unreachableError{Problem: NewProblem(CodeUnreachable, "%s", cause), cause: cause}
}

// LostConnection tells that an error is a connection that failed, as against an answer that says something is
// unreachable.
func LostConnection(err error) bool {
	_, ok := errors.AsType[*unreachableError](err)
	return ok
}

// wayHint says what to do about a hub that cannot be reached over the network.
func wayHint(cause error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](cause); ok {
		return "Give the authority of the hub's certificate, or a self-signed certificate itself, as ca_certificate or PALETTE_CA_CERTIFICATE."
	}
	if _, ok := errors.AsType[x509.HostnameError](cause); ok {
		return "Use a name of the certificate in endpoint, or give the hub a certificate for the name that is there."
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](cause); ok && invalid.Reason == x509.Expired {
		return "Renew the hub's certificate, and see that the clock here is right."
	}
	if _, ok := errors.AsType[*net.DNSError](cause); ok {
		return "See that endpoint is written rightly, and that its name is known here."
	}
	return "See that the hub runs, that endpoint names it, and that HTTPS_PROXY, if it is set, leads there."
}
