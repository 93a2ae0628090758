package hub

import (
	"context"
	"encoding/base64"
	"net/http"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// gatewayID resolves "system" and the empty id to the id of the system gateway.
func (h *Hub) gatewayID(id string) string {
	if id == "" || id == hubapi.SystemGatewayID {
		return h.gateways.SystemID()
	}
	return id
}

func (h *Hub) listGateways(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	items := []hubapi.Gateway{}
	for _, id := range h.gateways.IDs() {
		g, err := h.describeGateway(r.Context(), project, id)
		if err != nil {
			return answer{}, err
		}
		items = append(items, g)
	}
	return answer{body: hubapi.List[hubapi.Gateway]{Items: items}}, nil
}

func (h *Hub) getGateway(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id := r.PathValue("id")
	if id != hubapi.SystemGatewayID {
		if err := checkID(id); err != nil {
			return answer{}, err
		}
	}
	g, err := h.describeGateway(r.Context(), project, id)
	return answer{body: g}, err
}

func (h *Hub) describeGateway(ctx context.Context, project, id string) (hubapi.Gateway, error) {
	client, id, err := h.gateway(id)
	if err != nil {
		return hubapi.Gateway{}, err
	}
	info, err := client.Info(ctx)
	if err != nil {
		return hubapi.Gateway{}, fromGateway(id, err)
	}
	if info.ID != id {
		return hubapi.Gateway{}, hubapi.NewProblem(hubapi.CodeInternal,
			"the gateway that answers for %s says it is %s", id, truncate(info.ID))
	}
	system := id == h.gateways.SystemID()
	name := id
	if system {
		name = hubapi.SystemGatewayID
	}
	return hubapi.Gateway{
		Meta:   hubapi.Meta{ID: id, Project: project, Name: name},
		System: system,
		Status: hubapi.GatewayStatus{
			State: hubapi.GatewayOnline, Version: info.Version,
			PublicKey: base64.StdEncoding.EncodeToString(info.PublicKey),
		},
	}, nil
}
