package tfkit_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

const certificate = `-----BEGIN CERTIFICATE-----
MIIBeDCCAR+gAwIBAgIUYTzn7mQZ7VbCkOGlUSKpuc1qmeAwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
`

func TestValidators(t *testing.T) {
	cases := map[string]struct {
		validator validator.String
		good, bad []string
	}{
		"DNSLabel": {
			validator: tfkit.DNSLabel(),
			good:      []string{"a", "prod", "prod-1", "0", strings.Repeat("a", 63)},
			bad:       []string{"", "Prod", "-a", "a-", "a.b", "a_b", strings.Repeat("a", 64)},
		},
		"KubernetesVersion": {
			validator: tfkit.KubernetesVersion(),
			good:      []string{"v1.34.1", "v1.31.0-rc.1", "v1.30.4+vmware.1"},
			bad:       []string{"", "1.34.1", "v1.34", "v2.0.0", "v1.034.1", "latest"},
		},
		"KubernetesVersionPrefix": {
			validator: tfkit.KubernetesVersionPrefix(),
			good:      []string{"v1.34", "1.34", "v1.34.1", "1.34.1"},
			bad:       []string{"", "v1", "1.x", "v1.34."},
		},
		"IPAddress": {
			validator: tfkit.IPAddress(),
			good:      []string{"10.0.0.1", "fd00::1"},
			bad:       []string{"", "10.0.0", "10.0.0.0/8", "fe80::1%eth0", "host"},
		},
		"CIDR": {
			validator: tfkit.CIDR(),
			good:      []string{"10.0.0.0/16", "fd00::/64"},
			bad:       []string{"", "10.0.0.0", "10.0.0.1/16", "10.0.0.0/33"},
		},
		"AddressSet": {
			validator: tfkit.AddressSet(),
			good:      []string{"10.0.0.1", "10.0.0.1-10.0.0.9", "10.0.0.1 - 10.0.0.9", "10.0.0.0/28", "fd00::1-fd00::9"},
			bad:       []string{"", "10.0.0.9-10.0.0.1", "10.0.0.1-fd00::1", "10.0.0.1/28", "x-10.0.0.1", "10.0.0.1-x"},
		},
		"Thumbprint": {
			validator: tfkit.Thumbprint(),
			good:      []string{strings.Repeat("AB:", 19) + "CD", strings.Repeat("ab:", 31) + "cd"},
			bad:       []string{"", "AB:CD", strings.Repeat("AB", 20), strings.Repeat("XY:", 19) + "ZZ"},
		},
		"CACertificate": {
			validator: tfkit.CACertificate(),
			bad:       []string{"", "text", certificate, strings.ReplaceAll(certificate, "CERTIFICATE", "RSA PRIVATE KEY")},
		},
		"Regexp": {
			validator: tfkit.Regexp(),
			good:      []string{"", "^a.*b$", "(?i)nvme"},
			bad:       []string{"(", "[a", "(?=x)"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.validator.Description(t.Context()) == "" {
				t.Error("a validator describes itself")
			}
			for _, v := range tc.good {
				if failed := rejects(t, tc.validator, types.StringValue(v)); failed {
					t.Errorf("%q is refused", v)
				}
			}
			for _, v := range tc.bad {
				if failed := rejects(t, tc.validator, types.StringValue(v)); !failed {
					t.Errorf("%q is accepted", v)
				}
			}
			for _, v := range []types.String{types.StringNull(), types.StringUnknown()} {
				if rejects(t, tc.validator, v) {
					t.Errorf("%s is refused", v)
				}
			}
		})
	}
}

func rejects(t *testing.T, v validator.String, value types.String) bool {
	t.Helper()
	resp := &validator.StringResponse{}
	v.ValidateString(t.Context(), validator.StringRequest{Path: path.Root("x"), ConfigValue: value}, resp)
	return resp.Diagnostics.HasError()
}

func TestValidatorsNameNestedAttributes(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		at     path.Path
		want   bool
	}{
		"Top":    {"The CLI shows the line of a top attribute.", path.Root("subnet"), false},
		"Nested": {"Of a nested one it shows the resource only.", path.Root("pools").AtMapKey("a").AtName("cidr"), true},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &validator.StringResponse{}
			tfkit.CIDR().ValidateString(t.Context(), validator.StringRequest{Path: tc.at, ConfigValue: types.StringValue("x")}, resp)
			if got := strings.Contains(resp.Diagnostics[0].Detail(), tc.at.String()); got != tc.want {
				t.Errorf("%s got %q", tc.reason, resp.Diagnostics[0].Detail())
			}
		})
	}
}
