package gateway

import (
	"context"
	"net/http"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// handle turns a function from request to answer into a handler. Errors become problem documents.
func handle[Req, Resp any](answer func(context.Context, Req) (Resp, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request Req
		if err := hubapi.ReadJSON(w, r, &request); err != nil {
			hubapi.WriteProblem(w, asProblem(err))
			return
		}
		response, err := answer(r.Context(), request)
		if err != nil {
			hubapi.WriteProblem(w, asProblem(err))
			return
		}
		hubapi.WriteJSON(w, http.StatusOK, response)
	}
}

// none is the answer of requests that return nothing.
type none struct{}

func (g *Gateway) serveInfo(w http.ResponseWriter, _ *http.Request) {
	hubapi.WriteJSON(w, http.StatusOK, gatewayapi.Info{
		ID: g.cfg.Identity.ID, PublicKey: g.cfg.Identity.Key.PublicKey(), Version: g.cfg.Version,
	})
}

func (g *Gateway) ack(_ context.Context, a gatewayapi.Ack) (none, error) {
	g.reports.ack(a)
	return none{}, nil
}

// verifyAccount logs in once and checks what the account is to be used for.
func (g *Gateway) verifyAccount(ctx context.Context, doc gatewayapi.Account) (hubapi.CloudAccountStatus, error) {
	session, err := g.accounts.session(ctx, doc)
	if err != nil {
		return hubapi.CloudAccountStatus{}, err
	}
	if doc.Spec.Verify != nil {
		missing, err := session.MissingPrivileges(ctx, vsphere.VerifyObjects(*doc.Spec.Verify))
		if err != nil {
			return hubapi.CloudAccountStatus{}, verifyProblem(*doc.Spec.Verify, err)
		}
		if len(missing) > 0 {
			return hubapi.CloudAccountStatus{}, privilegesProblem(doc.Spec.Username, missing)
		}
	}
	about := session.About()
	return hubapi.CloudAccountStatus{VCenterVersion: about.Version, InstanceUUID: about.InstanceUUID}, nil
}

func privilegesProblem(username string, missing []vsphere.MissingPrivilege) *hubapi.Problem {
	lines := make([]string, 0, len(missing))
	for _, m := range missing {
		propagation := "without propagation"
		if m.Propagate {
			propagation = "with propagation to children"
		}
		lines = append(lines, "  - "+m.Privilege+" on "+m.Object+", "+propagation)
	}
	return &hubapi.Problem{
		Status: http.StatusUnprocessableEntity, Code: hubapi.CodePrivileges, Title: "Privileges are missing", Field: "/verify",
		Detail: "user " + username + " lacks privileges in the vCenter:\n" + strings.Join(lines, "\n"),
		Hint:   "Grant them by a role on these objects, then apply again.",
	}
}

func (g *Gateway) inventory(ctx context.Context, r gatewayapi.InventoryRequest) (inventory.Objects, error) {
	session, err := g.accounts.session(ctx, r.Account)
	if err != nil {
		return inventory.Objects{}, err
	}
	objects, err := session.Inventory(ctx, r.Query)
	if err != nil {
		return inventory.Objects{}, inventoryProblem(r.Query, err)
	}
	return objects, nil
}
