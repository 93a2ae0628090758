package tfkit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// DefaultGatewayText says in documentation which gateway an object without gateway_id belongs to.
const DefaultGatewayText = "Default: the system gateway, which runs beside the hub, or, where the hub has none, the project's only gateway."

// gateways is what DefaultGateway asks of a hub.
type gateways interface {
	Gateway(ctx context.Context, id string) (*hubapi.Gateway, error)
	Gateways(ctx context.Context) ([]hubapi.Gateway, error)
}

// DefaultGateway returns the id of the gateway that an object without gateway_id belongs to. Several to choose from are an
// error on gateway_id.
func DefaultGateway(ctx context.Context, client gateways) (string, error) {
	system, err := client.Gateway(ctx, hubapi.SystemGatewayID)
	if err == nil {
		return system.ID, nil
	}
	if !errors.Is(err, hubapi.ErrNotFound) {
		return "", err
	}
	all, err := client.Gateways(ctx)
	if err != nil {
		return "", err
	}
	if len(all) == 1 {
		return all[0].ID, nil
	}
	why := "the hub has no gateway yet"
	if len(all) > 0 {
		names := make([]string, 0, len(all))
		for _, g := range all {
			names = append(names, g.Name)
		}
		why = fmt.Sprintf("the hub has no system gateway, and the project has several: %s", strings.Join(names, ", "))
	}
	p := hubapi.NewProblem(hubapi.CodeInvalid, "it is not clear which gateway is meant: %s", why)
	p.Field = "/gateway_id"
	return "", p.WithHint("Set gateway_id, such as gateway_id = palette_gateway.north.id.")
}

// AppendGatewayError adds an error of DefaultGateway.
func AppendGatewayError(diags *diag.Diagnostics, err error) {
	if p, ok := errors.AsType[*hubapi.Problem](err); ok && p.Field != "" {
		diags.AddAttributeError(path.Root("gateway_id"), "Gateway Needed", sentence(upperFirst(p.Detail))+"\n\n"+p.Hint)
		return
	}
	AppendError(diags, "Find", "Gateway", err)
}
