package provider

import (
	"github.com/hashicorp/terraform-plugin-framework/types"
)

// Environment variables that stand in for attributes that are not set.
const (
	envEndpoint      = "PALETTE_ENDPOINT"
	envToken         = "PALETTE_TOKEN"
	envCACertificate = "PALETTE_CA_CERTIFICATE"
	envDataDir       = "PALETTE_DATA_DIR"
	envProject       = "PALETTE_PROJECT"
)

const (
	defaultDataDir = ".palette"
	defaultProject = "default"
)

// model is the provider block as written.
type model struct {
	Endpoint      types.String `tfsdk:"endpoint"`
	Token         types.String `tfsdk:"token"`
	CACertificate types.String `tfsdk:"ca_certificate"`
	DataDir       types.String `tfsdk:"data_dir"`
	Project       types.String `tfsdk:"project"`
}

// settings are what the provider works with: the provider block, the environment and the defaults, in that order.
type settings struct {
	// Endpoint is empty in embedded mode.
	Endpoint      string
	Token         string
	CACertificate string
	DataDir       string
	Project       string
	// Unknown names attributes that matter in this mode and whose values Terraform does not know yet.
	Unknown []string
}

// resolve decides every setting. An attribute that is set wins over the environment, also when it is empty, so that
// endpoint = "" means embedded whatever the environment says.
func resolve(m model, getenv func(string) string) settings {
	var s settings
	endpointUnknown := m.Endpoint.IsUnknown()
	take := func(name string, value types.String, env, otherwise string, matters bool) string {
		switch {
		case value.IsUnknown():
			if matters {
				s.Unknown = append(s.Unknown, name)
			}
			return otherwise
		case !value.IsNull():
			return value.ValueString()
		}
		if v := getenv(env); v != "" {
			return v
		}
		return otherwise
	}
	s.Endpoint = take("endpoint", m.Endpoint, envEndpoint, "", true)
	remote := s.Endpoint != ""
	s.Token = take("token", m.Token, envToken, "", remote)
	s.CACertificate = take("ca_certificate", m.CACertificate, envCACertificate, "", remote)
	s.DataDir = take("data_dir", m.DataDir, envDataDir, defaultDataDir, !remote && !endpointUnknown)
	s.Project = take("project", m.Project, envProject, defaultProject, true)
	return s
}
