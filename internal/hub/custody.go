package hub

import (
	"net/http"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/roster"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

const custodySize = 32

// getCustody answers with the half of a secret that was given into custody with a gateway.
func (h *Hub) getCustody(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	d, err := h.loadGateway(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	if len(d.Status.Custody) == 0 {
		return answer{}, notFound("gateway %q has nothing in custody", d.Name)
	}
	return answer{body: hubapi.Custody{Key: d.Status.Custody}}, nil
}

// putCustody takes a key into custody unless there is one, and answers with the one that is kept.
func (h *Hub) putCustody(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id := r.PathValue("id")
	if err := checkID(id); err != nil {
		return answer{}, err
	}
	var body hubapi.Custody
	if err := hubapi.ReadJSON(w, r, &body); err != nil {
		return answer{}, err
	}
	if len(body.Key) != custodySize {
		return answer{}, invalid("/key", "a key in custody has %d bytes", custodySize)
	}
	if _, err := h.loadGateway(r.Context(), project, id); err != nil {
		return answer{}, err
	}
	d, err := roster.ChangeGateway(r.Context(), h.store, id, func(g *roster.Gateway) error {
		if len(g.Status.Custody) > 0 {
			return roster.ErrUnchanged
		}
		g.Status.Custody = body.Key
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return answer{body: hubapi.Custody{Key: d.Status.Custody}}, nil
}
