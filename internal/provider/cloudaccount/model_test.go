package cloudaccount

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

func thumbprints(values ...string) types.List {
	elements := make([]attr.Value, 0, len(values))
	for _, v := range values {
		elements = append(elements, types.StringValue(v))
	}
	return types.ListValueMust(types.StringType, elements)
}

func verify(objects map[string]string) types.Object {
	values := map[string]attr.Value{}
	for name := range verifyTypes {
		values[name] = types.StringNull()
		if v, ok := objects[name]; ok {
			values[name] = types.StringValue(v)
		}
	}
	return types.ObjectValueMust(verifyTypes, values)
}

// written is an account as a person writes it.
func written(change func(*model)) model {
	m := model{
		ID:                types.StringValue("id"),
		Name:              types.StringValue("lab"),
		GatewayID:         types.StringValue("gw"),
		VCenter:           types.StringValue("https://VC.example/sdk"),
		Username:          types.StringValue("user"),
		PasswordWO:        types.StringNull(),
		PasswordWOVersion: types.Int64Value(1),
		CACertificate:     types.StringNull(),
		Thumbprints:       types.ListNull(types.StringType),
		Insecure:          types.BoolValue(false),
		Verify:            types.ObjectNull(verifyTypes),
		VCenterVersion:    types.StringValue("8.0.3"),
		InstanceUUID:      types.StringValue("uuid"),
	}
	if change != nil {
		change(&m)
	}
	return m
}

func account(spec hubapi.CloudAccountSpec) *hubapi.CloudAccount {
	return &hubapi.CloudAccount{
		Meta: hubapi.Meta{ID: "id", Name: "lab"}, Spec: spec,
		Status: hubapi.CloudAccountStatus{VCenterVersion: "8.0.3", InstanceUUID: "uuid"},
	}
}

// TestModel checks both ways: what is written becomes the wire form, and the wire form read back is what was written, so
// that no plan follows.
func TestModel(t *testing.T) {
	base := hubapi.CloudAccountSpec{GatewayID: "gw", VCenter: "vc.example", Username: "user"}
	with := func(change func(*hubapi.CloudAccountSpec)) hubapi.CloudAccountSpec {
		spec := base
		change(&spec)
		return spec
	}
	cases := map[string]struct {
		reason string
		model  model
		want   hubapi.CloudAccountSpec
	}{
		"SystemTrust": {
			reason: "A URL becomes a host; no trust stays empty, which is the system's CAs.",
			model:  written(nil),
			want:   base,
		},
		"Thumbprints": {
			reason: "Thumbprints are sent in upper case and kept as written.",
			model:  written(func(m *model) { m.Thumbprints = thumbprints("ab:cd", "EF:01") }),
			want:   with(func(s *hubapi.CloudAccountSpec) { s.Trust.Thumbprints = []string{"AB:CD", "EF:01"} }),
		},
		"CACertificate": {
			reason: "What a heredoc adds to a certificate is not sent, and kept as written.",
			model:  written(func(m *model) { m.CACertificate = types.StringValue("\n  BEGIN\r\n  x\n") }),
			want:   with(func(s *hubapi.CloudAccountSpec) { s.Trust.CACertificate = "BEGIN\nx\n" }),
		},
		"Insecure": {
			reason: "Insecure is said out loud.",
			model:  written(func(m *model) { m.Insecure = types.BoolValue(true) }),
			want:   with(func(s *hubapi.CloudAccountSpec) { s.Trust.Insecure = true }),
		},
		"Verify": {
			reason: "Objects that are not named stay null.",
			model: written(func(m *model) {
				m.Verify = verify(map[string]string{"datacenter": "dc", "templates_folder": "templates"})
			}),
			want: with(func(s *hubapi.CloudAccountSpec) {
				s.Verify = &hubapi.VerifyObjects{Datacenter: "dc", TemplatesFolder: "templates"}
			}),
		},
		"EmptyVerify": {
			reason: "A block with nothing in it is kept as written.",
			model:  written(func(m *model) { m.Verify = verify(nil) }),
			want:   with(func(s *hubapi.CloudAccountSpec) { s.Verify = &hubapi.VerifyObjects{} }),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec, diags := tc.model.toSpec(t.Context(), "gw")
			fatal(t, diags)
			if diff := cmp.Diff(tc.want, spec); diff != "" {
				t.Errorf("%s\ntoSpec(...): -want, +got:\n%s", tc.reason, diff)
			}
			got := tc.model
			fatal(t, got.fromAPI(t.Context(), account(spec)))
			if diff := cmp.Diff(tc.model, got); diff != "" {
				t.Errorf("%s\nfromAPI(toSpec(...)): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestDrift checks that what has really changed at the hub is taken over.
func TestDrift(t *testing.T) {
	got := written(func(m *model) {
		m.Thumbprints, m.CACertificate = thumbprints("ab:cd"), types.StringValue("x")
		m.Verify = verify(map[string]string{"datacenter": "dc"})
	})
	other := hubapi.CloudAccountSpec{
		GatewayID: "gw-2", VCenter: "other.example", Username: "somebody",
		Trust: hubapi.Trust{Thumbprints: []string{"12:34"}, Insecure: true},
	}
	fatal(t, got.fromAPI(t.Context(), account(other)))
	want := written(func(m *model) {
		m.GatewayID, m.VCenter, m.Username = types.StringValue("gw-2"), types.StringValue("other.example"), types.StringValue("somebody")
		m.Thumbprints, m.Insecure, m.CACertificate = thumbprints("12:34"), types.BoolValue(true), types.StringNull()
		m.Verify = verify(nil)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fromAPI(...): -want, +got:\n%s", diff)
	}
}

// TestCheckPassword checks when an update may go without the password.
func TestCheckPassword(t *testing.T) {
	const missing, again = "Missing Password", "Password Needed Again"
	state := written(nil)
	cases := map[string]struct {
		reason string
		plan   model
		want   string
	}{
		"SameVersion": {
			reason: "What is not bound changes without the password.",
			plan:   written(func(m *model) { m.Name, m.Verify = types.StringValue("other"), verify(nil) }),
		},
		"NewVersion": {
			reason: "A new version needs the password.",
			plan:   written(func(m *model) { m.PasswordWOVersion = types.Int64Value(2) }),
			want:   missing,
		},
		"NoVersion": {
			reason: "Taking the version away is a change of it.",
			plan:   written(func(m *model) { m.PasswordWOVersion = types.Int64Null() }),
			want:   missing,
		},
		"NewVersionAndPassword": {
			reason: "A new version with a password is what is meant.",
			plan: written(func(m *model) {
				m.PasswordWOVersion, m.PasswordWO, m.VCenter = types.Int64Value(2), types.StringValue("p"), types.StringValue("other")
			}),
		},
		"UnknownPassword": {
			reason: "A password that is not known yet is one.",
			plan: written(func(m *model) {
				m.PasswordWOVersion, m.PasswordWO = types.Int64Value(2), types.StringUnknown()
			}),
		},
		"UnknownVersion": {
			reason: "A version that is not known yet may change.",
			plan:   written(func(m *model) { m.PasswordWOVersion, m.Username = types.Int64Unknown(), types.StringValue("x") }),
		},
		"VCenter": {
			reason: "The password is sealed for the vCenter.",
			plan:   written(func(m *model) { m.VCenter = types.StringValue("other") }),
			want:   again,
		},
		"Spelling": {
			reason: "Another spelling is the same vCenter.",
			plan:   written(func(m *model) { m.VCenter = types.StringValue("vc.example:443") }),
		},
		"Username": {
			reason: "The password is the user's.",
			plan:   written(func(m *model) { m.Username = types.StringValue("other") }),
			want:   again,
		},
		"Gateway": {
			reason: "The password is sealed to the gateway's key.",
			plan:   written(func(m *model) { m.GatewayID = types.StringValue("other") }),
			want:   again,
		},
		"Trust": {
			reason: "The password is sealed for the trust.",
			plan:   written(func(m *model) { m.Thumbprints = thumbprints("ab") }),
			want:   again,
		},
		"Insecure": {
			reason: "Insecure is trust too.",
			plan:   written(func(m *model) { m.Insecure = types.BoolValue(true) }),
			want:   again,
		},
		"UnknownTrust": {
			reason: "What is not known yet cannot be judged.",
			plan: written(func(m *model) {
				m.Thumbprints = types.ListValueMust(types.StringType, []attr.Value{types.StringUnknown()})
			}),
		},
		"UnknownVerify": {
			reason: "What is checked need not be known.",
			plan: written(func(m *model) {
				m.Verify, m.Username = types.ObjectUnknown(verifyTypes), types.StringValue("other")
			}),
			want: again,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var diags diag.Diagnostics
			checkPassword(t.Context(), &tc.plan, &state, &diags)
			got := ""
			for _, d := range diags {
				got += d.Summary()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\ncheckPassword(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestGatewayKey(t *testing.T) {
	private := memory{}
	key, diags := tfkit.GetPrivate[gatewayKey](t.Context(), private, keyName)
	fatal(t, diags)
	if got := key.fingerprintOf("gw"); got != "" {
		t.Errorf("an account that was never sealed for: want any key, got %q", got)
	}
	fatal(t, tfkit.SetPrivate(t.Context(), private, keyName, gatewayKey{Gateway: "gw", Fingerprint: "sha256:1"}))
	key, diags = tfkit.GetPrivate[gatewayKey](t.Context(), private, keyName)
	fatal(t, diags)
	if got := key.fingerprintOf("gw"); got != "sha256:1" {
		t.Errorf("the same gateway must have the same key, got %q", got)
	}
	if got := key.fingerprintOf("other"); got != "" {
		t.Errorf("another gateway has a key of its own, got %q", got)
	}
	private[keyName] = []byte("[")
	if _, diags := tfkit.GetPrivate[gatewayKey](t.Context(), private, keyName); !diags.HasError() {
		t.Error("damaged private state is believed")
	}
}

// memory is private state.
type memory map[string][]byte

func (m memory) GetKey(_ context.Context, key string) ([]byte, diag.Diagnostics) { return m[key], nil }

func (m memory) SetKey(_ context.Context, key string, value []byte) diag.Diagnostics {
	m[key] = value
	return nil
}

func fatal(t *testing.T, diags diag.Diagnostics) {
	t.Helper()
	if diags.HasError() {
		var lines []string
		for _, d := range diags {
			lines = append(lines, d.Summary()+": "+d.Detail())
		}
		t.Fatal(strings.Join(lines, "\n"))
	}
}
