package gateway

import (
	"strings"
	"testing"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

func TestProblemsSayThingsOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		err    error
		once   string
	}{
		"Untrusted": {
			reason: "The presented thumbprint is what a person copies.",
			err:    &vsphere.UntrustedError{Host: "vc", Presented: []string{"AA:BB"}, Err: vsphere.ErrClosed},
			once:   "AA:BB",
		},
		"Credentials": {
			reason: "A refused password is one clear error.",
			err:    vsphere.ErrCredentials,
			once:   "refused the user name or password",
		},
		"NotFound": {
			reason: "Names like it are listed.",
			err:    &vsphere.NotFoundError{Kind: "datacenter", Name: "dc-nroth", Near: []string{"dc-north"}},
			once:   "dc-north",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := asProblem(tc.err)
			if n := strings.Count(p.Detail+p.Hint, tc.once); n != 1 {
				t.Errorf("%s It is said %d times: %s %s", tc.reason, n, p.Detail, p.Hint)
			}
		})
	}
}
