package payload

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
)

const pkiDir = "/etc/kubernetes/pki/"

// readPKI checks the authorities that a control plane brings along: each certificate is a CA's and belongs to its key. A
// joining control plane must bring the very CA that it expects to find.
func (p *Payload) readPKI(config *cloudConfig) error {
	var hash string
	for _, name := range []string{"ca", "etcd/ca", "front-proxy-ca"} {
		pin, err := checkCA(config.files[pkiDir+name+".crt"], config.files[pkiDir+name+".key"])
		if err != nil {
			return refuse(PKI, "%s: %w", name, err)
		}
		if name == "ca" {
			hash = pin
		}
	}
	if err := checkSigningKey(config.files[pkiDir+"sa.pub"], config.files[pkiDir+"sa.key"]); err != nil {
		return refuse(PKI, "sa: %w", err)
	}
	if p.CAHash != "" && p.CAHash != hash {
		return refuse(PKI, "the CA is %s, caCertHashes want %s", hash, p.CAHash)
	}
	p.CAHash = hash
	return nil
}

// checkCA returns the certificate's pin.
func checkCA(certificate, key []byte) (string, error) {
	block, _ := pem.Decode(certificate)
	if block == nil {
		return "", fmt.Errorf("certificate: %w", errNoPEM)
	}
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("certificate: %w", err)
	}
	if !parsed.IsCA {
		return "", fmt.Errorf("the certificate is no CA's")
	}
	private, err := privateKey(key)
	if err != nil {
		return "", err
	}
	if !samePublic(private.Public(), parsed.PublicKey) {
		return "", fmt.Errorf("certificate and key do not belong together")
	}
	sum := sha256.Sum256(parsed.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}

func checkSigningKey(public, private []byte) error {
	key, err := privateKey(private)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(public)
	if block == nil {
		return fmt.Errorf("public key: %w", errNoPEM)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	if !samePublic(key.Public(), parsed) {
		return fmt.Errorf("the keys do not belong together")
	}
	return nil
}

func privateKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("key: %w", errNoPEM)
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key: %T does not sign", key)
	}
	return signer, nil
}

func samePublic(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(x crypto.PublicKey) bool })
	return ok && key.Equal(b)
}
