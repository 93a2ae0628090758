package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
)

// rejoin gets a new certificate by the identity key, for a replica that was away until its old one expired.
func rejoin(ctx context.Context, dir *directory, w way, version string) error {
	id := dir.identity()
	tlsKey, csr, err := newTLSKey()
	if err != nil {
		return err
	}
	a := &applicant{
		signer: id.signer(),
		blank:  gatewayapi.Enrolment{Name: id.Name, Version: version, CSR: csr},
		fill: func(e *gatewayapi.Enrolment) {
			e.Rejoin = &gatewayapi.RejoinProof{Gateway: id.Gateway, Replica: id.Replica}
		},
		take: func(g gatewayapi.Grant) (gatewayapi.Taken, error) { return renewed(dir, g, tlsKey) },
	}
	return a.enrol(ctx, w)
}

// renewed takes a new certificate for the same replica. A new CA is believed when it comes together with one that was
// believed before.
func renewed(dir *directory, g gatewayapi.Grant, tlsKey []byte) (gatewayapi.Taken, error) {
	id := dir.identity()
	if g.Gateway != id.Gateway || g.Project != id.Project || g.Replica != id.Replica {
		return gatewayapi.Taken{}, errors.New("it is for another replica")
	}
	known, err := parseBundle([]byte(id.CA))
	if err != nil {
		return gatewayapi.Taken{}, err
	}
	believed := func(c *x509.Certificate) bool {
		for _, ca := range known {
			if bytes.Equal(pinOf(ca), pinOf(c)) {
				return true
			}
		}
		return false
	}
	if err := checkGrant(g, tlsKey, believed); err != nil {
		return gatewayapi.Taken{}, err
	}
	key, err := id.sealing()
	if err != nil {
		return gatewayapi.Taken{}, err
	}
	err = dir.change(func(id *identity) {
		id.Certificate, id.TLSKey, id.CA = g.Certificate, tlsKey, string(g.CA)
		if g.GatewayName != "" {
			id.GatewayName = g.GatewayName
		}
	})
	return gatewayapi.Taken{SealingKey: key.PublicKey()}, err
}
