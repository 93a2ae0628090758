package provider

import (
	"context"
	"net/http"
	"os"

	"github.com/hashicorp/terraform-plugin-framework-validators/stringvalidator"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/schema/validator"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/cloudaccount"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/ippool"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/vmwarecluster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

// Provider is the provider palette.
type Provider struct {
	version  string
	embedded Embedded
	deployer gateway.Deployer
}

var (
	_ provider.Provider                       = (*Provider)(nil)
	_ provider.ProviderWithEphemeralResources = (*Provider)(nil)
)

// Option changes what a provider can do.
type Option func(*Provider)

// WithDeployer lets gateways have appliances, whose VMs the deployer makes.
func WithDeployer(d gateway.Deployer) Option { return func(p *Provider) { p.deployer = d } }

// New returns what makes a provider of the given version. Embedded may be nil where only remote hubs are used.
func New(version string, embedded Embedded, options ...Option) func() provider.Provider {
	return func() provider.Provider {
		p := &Provider{version: version, embedded: embedded}
		for _, option := range options {
			option(p)
		}
		return p
	}
}

// Metadata implements provider.Provider.
func (p *Provider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "palette"
	resp.Version = p.version
}

// Schema implements provider.Provider.
func (p *Provider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		MarkdownDescription: "Kubernetes clusters on private VMware vSphere. The provider speaks to a hub, which relays to a " +
			"gateway next to the vCenter. Without an `endpoint` it carries hub and gateway in its own process (embedded mode), " +
			"for machines that can reach the vCenter themselves.\n\n" +
			"Needs Terraform 1.11 or OpenTofu 1.11, the first with write-only attributes.",
		Attributes: map[string]schema.Attribute{
			"endpoint": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "URL of the hub, such as `https://hub.example.com`. Not set, or `\"\"`: embedded mode. " +
					"Environment: `PALETTE_ENDPOINT`.",
			},
			"token": schema.StringAttribute{
				Optional: true, Sensitive: true,
				MarkdownDescription: "API token for the hub. Not used in embedded mode. Environment: `PALETTE_TOKEN`.",
			},
			"ca_certificate": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Certificates in PEM form that the hub's certificate is checked against, instead of the " +
					"system's. Not used in embedded mode. Environment: `PALETTE_CA_CERTIFICATE`.",
				Validators: []validator.String{tfkit.CACertificate()},
			},
			"data_dir": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Directory of the embedded hub's records and of its gateway's key, made if it is missing. " +
					"It has to stay from run to run and several runs may share it. Relative paths start at the working directory. " +
					"Default: `.palette`. Not used with an `endpoint`. Environment: `PALETTE_DATA_DIR`.",
				Validators: []validator.String{stringvalidator.LengthAtLeast(1)},
			},
			"project": schema.StringAttribute{
				Optional: true,
				MarkdownDescription: "Project that the objects belong to; names are unique in it. Default: `default`. " +
					"Environment: `PALETTE_PROJECT`.",
				Validators: []validator.String{tfkit.DNSLabel()},
			},
		},
	}
}

// Configure implements provider.Provider. It starts nothing and asks nobody.
func (p *Provider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var m model
	resp.Diagnostics.Append(req.Config.Get(ctx, &m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	s := resolve(m, os.Getenv)
	transport, err := transportFor(s, p.embedded)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("ca_certificate"), "Unable to Configure Provider",
			"The CA certificate of the hub cannot be used: "+err.Error()+".")
		return
	}
	client, err := newClient(s, transport, p.version)
	if err != nil {
		resp.Diagnostics.AddAttributeError(path.Root("endpoint"), "Unable to Configure Provider",
			"The hub cannot be addressed: "+err.Error()+".")
		return
	}
	resp.ResourceData, resp.DataSourceData = client, client
	resp.EphemeralResourceData, resp.ActionData, resp.ListResourceData = client, client, client
}

// localEndpoint is the address of a hub that is not reached by network.
const localEndpoint = "http://hub"

func newClient(s settings, transport http.RoundTripper, version string) (*hubapi.Client, error) {
	endpoint := s.Endpoint
	if endpoint == "" {
		endpoint = localEndpoint
	}
	return hubapi.NewClient(hubapi.Config{
		Endpoint: endpoint, Token: s.Token, Project: s.Project, Transport: transport,
		CACertificate: s.CACertificate, UserAgent: "terraform-provider-palette/" + version,
		// What is not known yet may turn out to be an endpoint.
		Embedded: s.Endpoint == "" && len(s.Unknown) == 0,
	})
}

// Resources implements provider.Provider.
func (p *Provider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{
		cloudaccount.NewResource,
		gateway.NewResource(p.deployer),
		ippool.NewResource,
		vmwarecluster.NewResource,
	}
}

// DataSources implements provider.Provider.
func (p *Provider) DataSources(context.Context) []func() datasource.DataSource {
	return append(inventory.DataSources(), cloudaccount.NewDataSource, gateway.NewDataSource, gateway.NewList,
		vmwarecluster.NewDataSource)
}

// EphemeralResources implements provider.ProviderWithEphemeralResources.
func (p *Provider) EphemeralResources(context.Context) []func() ephemeral.EphemeralResource {
	return []func() ephemeral.EphemeralResource{gateway.NewEphemeral}
}
