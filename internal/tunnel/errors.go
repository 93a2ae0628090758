package tunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"time"
)

// What can be wrong with a connection. Callers decide with errors.Is; the text of what they get says more.
var (
	// ErrProxy says that the proxy refused to connect.
	ErrProxy = errors.New("the proxy refused to connect")
	// ErrProxyAuth says that the proxy wants other credentials, or any.
	ErrProxyAuth = errors.New("the proxy requires authentication")
	// ErrOuterCertificate says that the certificate of what answered first is not believed: the hub's, a balancer's, or that
	// of a proxy that inspects TLS and whose authority is not configured.
	ErrOuterCertificate = errors.New("the certificate of the outer TLS is not believed")
	// ErrInnerCertificate says that the peer's certificate in the tunnel is not believed: it is not the hub, or not a gateway.
	ErrInnerCertificate = errors.New("the peer's certificate in the tunnel is not believed")
	// ErrIdentityRefused says that the peer does not believe our certificate in the tunnel.
	ErrIdentityRefused = errors.New("the peer does not believe our certificate in the tunnel")
	// ErrProtocol says that the peer does not speak TLS 1.3 and this tunnel's protocol.
	ErrProtocol = errors.New("the peer does not speak this tunnel's protocol")
	// ErrBusy says that the hub has too many handshakes under way.
	ErrBusy = errors.New("too many handshakes are under way")
	// ErrClosed says that this end closed the connection.
	ErrClosed = errors.New("the tunnel is closed")
	// ErrLost says that the connection ended: the peer closed it, or something between cut it.
	ErrLost = errors.New("the tunnel was cut")
	// ErrDraining says that the gateway takes no more requests, because it is about to end.
	ErrDraining = errors.New("the gateway is going away")
	// ErrSilent says that the peer did not answer a ping.
	ErrSilent = errors.New("the peer of the tunnel is silent")
)

// RefusedError is an answer to a dial that is no WebSocket: the hub's, or that of something before it.
type RefusedError struct {
	// Status is the HTTP status.
	Status int
	// RetryAfter is how long to wait at least; 0 when the answer does not say.
	RetryAfter time.Duration
	// Reason is the beginning of the answer, printable.
	Reason string
}

// Error implements error.
func (e *RefusedError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("refused with status %d", e.Status)
	}
	return fmt.Sprintf("refused with status %d: %s", e.Status, e.Reason)
}

// Alerts of TLS that are about a certificate, and those that are about versions and protocols (RFC 8446, 6.2).
const (
	alertBadCertificate      = 42
	alertCertificateUnknown  = 46
	alertUnknownCA           = 48
	alertAccessDenied        = 49
	alertProtocolVersion     = 70
	alertCertificateRequired = 116
	alertNoProtocol          = 120
)

// handshakeError says what a failed handshake of the inner TLS means. Once version and protocol are agreed on, what is left to
// go wrong is the certificate: it is missing, or the caller's own check does not like it.
func handshakeError(err error, agreed bool) error {
	var untrusted *tls.CertificateVerificationError
	alert, alerted := alertOf(err)
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: %w", ErrInnerCertificate, err)
	case alerted && aboutCertificate(alert):
		return fmt.Errorf("%w: %w", ErrIdentityRefused, err)
	case alerted && (alert == alertProtocolVersion || alert == alertNoProtocol):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case alerted || cut(err):
		return fmt.Errorf("inner TLS: %w", err)
	case agreed:
		return fmt.Errorf("%w: %w", ErrInnerCertificate, err)
	default:
		return fmt.Errorf("%w: inner TLS: %w", ErrProtocol, err)
	}
}

func aboutCertificate(alert uint64) bool {
	return alert >= alertBadCertificate && alert <= alertCertificateUnknown ||
		alert == alertUnknownCA || alert == alertAccessDenied || alert == alertCertificateRequired
}

// alertOf is the alert that the peer sent. crypto/tls reports it in a type of its own that has no name outside.
func alertOf(err error) (uint64, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// cut tells whether the connection ended, rather than that the peer said something wrong.
func cut(err error) bool {
	var timeout net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &timeout)
}
