package gateway

import (
	"context"
	"regexp"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"
	"github.com/hashicorp/terraform-plugin-log/tflog"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/install"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// installModel are the texts by which a gateway is installed.
type installModel struct {
	Commands           types.String `tfsdk:"commands"`
	Container          types.String `tfsdk:"container"`
	CloudInit          types.String `tfsdk:"cloud_init"`
	SystemdUnit        types.String `tfsdk:"systemd_unit"`
	KubernetesManifest types.String `tfsdk:"kubernetes_manifest"`
}

var installTypes = map[string]attr.Type{
	"commands":            types.StringType,
	"container":           types.StringType,
	"cloud_init":          types.StringType,
	"systemd_unit":        types.StringType,
	"kubernetes_manifest": types.StringType,
}

func installSchema() schema.SingleNestedAttribute {
	text := func(description string) schema.StringAttribute {
		return schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	return schema.SingleNestedAttribute{
		Computed: true, Sensitive: true,
		MarkdownDescription: "What installs the gateway, with the current `pairing_token`: it changes when the token does and stays as it " +
			"is otherwise, so that a machine that boots with it is not replaced. Null after an import.",
		Attributes: map[string]schema.Attribute{
			"commands":            text("Commands for a shell, as root on a Linux machine. They ask for the token."),
			"container":           text("Commands for Docker or Podman. They read the token from the file `pairing-token`."),
			"cloud_init":          text("User data (cloud-init) of a machine that becomes the gateway when it boots. It has the token."),
			"systemd_unit":        text("The systemd unit by itself."),
			"kubernetes_manifest": text("Manifest of a gateway that runs in a Kubernetes cluster. It has the token."),
		},
	}
}

var release = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// installOptions is what all texts are made from: where the hub is, and the program that it serves. A hub that does not
// serve one, as an older one, leaves the program's digest open.
func installOptions(ctx context.Context, client *hubapi.Client, name, token string) install.Options {
	endpoint, ca := client.Address()
	o := install.Options{Hub: endpoint, Name: name, Token: token, CA: ca, Binary: endpoint + hubapi.PathDownloadGateway}
	served, err := client.Downloads(ctx)
	if err != nil {
		tflog.Debug(ctx, "the hub does not say which program it serves", map[string]any{"error": err.Error()})
		return o
	}
	o.SHA256 = served.Gateway.SHA256
	if release.MatchString(served.Gateway.Version) {
		o.Version = served.Gateway.Version
	}
	return o
}

func installTexts(ctx context.Context, o install.Options) (types.Object, diag.Diagnostics) {
	return types.ObjectValueFrom(ctx, installTypes, installModel{
		Commands:           types.StringValue(install.Commands(o)),
		Container:          types.StringValue(install.Container(o)),
		CloudInit:          types.StringValue(install.CloudInit(o)),
		SystemdUnit:        types.StringValue(install.SystemdUnit()),
		KubernetesManifest: types.StringValue(install.Kubernetes(o)),
	})
}
