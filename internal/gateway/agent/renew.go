package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"sync"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// maxRenewals bounds the keys that wait for a certificate: one for each instance of the hub is enough.
const maxRenewals = 4

// renewal are the keys that certificates were asked for, the newest last.
type renewal struct {
	mu   sync.Mutex
	keys [][]byte
}

// renew makes a new key and asks for a certificate for it. The one in use goes on until the new one is on disk.
func (a *agent) renew(context.Context, struct{}) (gatewayapi.Renewal, error) {
	key, csr, err := newTLSKey()
	if err != nil {
		return gatewayapi.Renewal{}, err
	}
	a.renewal.mu.Lock()
	defer a.renewal.mu.Unlock()
	a.renewal.keys = append(a.renewal.keys, key)
	if extra := len(a.renewal.keys) - maxRenewals; extra > 0 {
		a.renewal.keys = a.renewal.keys[extra:]
	}
	return gatewayapi.Renewal{CSR: csr}, nil
}

// renewed takes the certificate for a key that one was asked for. Sessions go on; new ones begin with it.
func (a *agent) renewed(ctx context.Context, g gatewayapi.Grant) (gatewayapi.Taken, error) {
	a.renewal.mu.Lock()
	defer a.renewal.mu.Unlock()
	for i, key := range a.renewal.keys {
		if !certifies(g.Certificate, key) {
			continue
		}
		taken, err := renewed(a.dir, g, key)
		if err != nil {
			a.log.WarnContext(ctx, "certificate refused", "error", err)
			return gatewayapi.Taken{}, hubapi.NewProblem(hubapi.CodeUntrusted, "the gateway does not take this certificate: %s", err)
		}
		a.renewal.keys = append(a.renewal.keys[:i], a.renewal.keys[i+1:]...)
		a.log.InfoContext(ctx, "certificate renewed")
		return taken, nil
	}
	return gatewayapi.Taken{}, hubapi.NewProblem(hubapi.CodeInvalid, "no certificate was asked for that key")
}

func certifies(der, pkcs8 []byte) bool {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return false
	}
	own, ok := key.(*ecdsa.PrivateKey)
	return ok && own.PublicKey.Equal(leaf.PublicKey)
}
