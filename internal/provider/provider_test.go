package provider_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
)

// A variable that names a missing file makes OpenTofu fail in ways nobody understands.
func TestMain(m *testing.M) {
	_ = os.Unsetenv("TF_CLI_CONFIG_FILE")
	os.Exit(m.Run())
}

func TestSchemas(t *testing.T) {
	server, err := providerserver.NewProtocol6WithError(provider.New("test", nil)())()
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := server.GetProviderSchema(t.Context(), &tfprotov6.GetProviderSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range schemas.Diagnostics {
		t.Errorf("%s: %s", d.Summary, d.Detail)
	}
	wantResources := []string{"palette_cloud_account", "palette_gateway", "palette_ip_pool", "palette_vmware_cluster"}
	if diff := cmp.Diff(wantResources, slices.Sorted(maps.Keys(schemas.ResourceSchemas))); diff != "" {
		t.Errorf("resources: -want, +got:\n%s", diff)
	}
	wantData := []string{
		"palette_cloud_account", "palette_compute_clusters", "palette_datacenters", "palette_datastores", "palette_folders",
		"palette_gateway", "palette_gateways", "palette_networks", "palette_resource_pools", "palette_templates", "palette_vmware_cluster",
	}
	if diff := cmp.Diff(wantData, slices.Sorted(maps.Keys(schemas.DataSourceSchemas))); diff != "" {
		t.Errorf("data sources: -want, +got:\n%s", diff)
	}
	wantEphemeral := []string{"palette_gateway_pairing_token"}
	if diff := cmp.Diff(wantEphemeral, slices.Sorted(maps.Keys(schemas.EphemeralResourceSchemas))); diff != "" {
		t.Errorf("ephemeral resources: -want, +got:\n%s", diff)
	}
	described(t, "provider", schemas.Provider.Block)
	for name, s := range schemas.ResourceSchemas {
		described(t, name, s.Block)
	}
	for name, s := range schemas.DataSourceSchemas {
		described(t, "data."+name, s.Block)
	}
	for name, s := range schemas.EphemeralResourceSchemas {
		described(t, "ephemeral."+name, s.Block)
	}
}

// described checks that the documentation, which is generated from descriptions, has no holes.
func described(t *testing.T, at string, block *tfprotov6.SchemaBlock) {
	t.Helper()
	if block.Description == "" {
		t.Errorf("%s has no description", at)
	}
	attributesDescribed(t, at, block.Attributes)
}

func attributesDescribed(t *testing.T, at string, attributes []*tfprotov6.SchemaAttribute) {
	t.Helper()
	for _, a := range attributes {
		name := at + "." + a.Name
		switch {
		case a.Name == "timeouts":
			// The framework's block says nothing itself; its attributes do.
		case a.Description == "":
			t.Errorf("%s has no description", name)
		case !strings.HasSuffix(a.Description, "."):
			t.Errorf("%s: the description is no sentence: %q", name, a.Description)
		}
		if a.NestedType != nil {
			attributesDescribed(t, name, a.NestedType.Attributes)
		}
	}
}

func factories(embedded provider.Embedded) map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"palette": providerserver.NewProtocol6WithError(provider.New("test", embedded)()),
	}
}

const datacenters = `
data "palette_datacenters" "all" {
  cloud_account_id = "6f1e6b0e-7d3e-4b8b-9f43-0c8f3f1f6c3a"
}
`

func TestAccConfigureStartsNothing(t *testing.T) {
	started := func(context.Context, string) (http.RoundTripper, error) {
		t.Error("the embedded hub was started before it was used")
		return nil, errors.New("started")
	}
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: factories(started),
		Steps: []resource.TestStep{{
			Config: `
provider "palette" {
  data_dir = "/does/not/exist"
}
output "nothing" { value = 1 }`,
		}},
	})
}

func TestAccConfigureErrors(t *testing.T) {
	broken := func(context.Context, string) (http.RoundTripper, error) {
		return nil, errors.New("read-only file system")
	}
	cases := map[string]struct {
		reason string
		config string
		want   string
	}{
		"BadEndpoint": {
			reason: "An endpoint that is no URL is refused on its attribute.",
			config: `provider "palette" { endpoint = "hub" }` + datacenters,
			want:   `(?s)Unable to Configure Provider.*on .*endpoint = "hub"`,
		},
		"BadCertificate": {
			reason: "A CA certificate that holds none is refused on its attribute.",
			config: `provider "palette" { ca_certificate = "x" }` + datacenters,
			want:   `(?s)Invalid CA Certificate.*ca_certificate = "x"`,
		},
		"BrokenDataDir": {
			reason: "A directory that cannot be used is named, with what to do.",
			config: `provider "palette" { data_dir = "/ro" }` + datacenters,
			want:   `(?s)started\s+in\s+data_dir\s+/ro:\s+read-only\s+file\s+system.*set\s+data_dir`,
		},
		"UnknownEndpoint": {
			reason: "An endpoint that is not known yet is named when the hub is needed.",
			config: `
resource "terraform_data" "hub" { input = "https://hub" }
provider "palette" { endpoint = terraform_data.hub.output }` + datacenters,
			want: `(?s)attribute\s+endpoint\s+cannot\s+be\s+known`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Log(tc.reason)
			resource.UnitTest(t, resource.TestCase{
				ProtoV6ProviderFactories: factories(broken),
				Steps: []resource.TestStep{{
					Config: tc.config, PlanOnly: true, ExpectError: regexp.MustCompile(tc.want),
				}},
			})
		})
	}
}
