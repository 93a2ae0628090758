package hub

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/store"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

func accountOf(d *accountDoc) hubapi.CloudAccount {
	return hubapi.CloudAccount{Meta: d.meta(), Spec: d.Spec, Status: d.Status}
}

func gatewayAccount(d *accountDoc) gatewayapi.Account {
	return gatewayapi.Account{
		ID: d.ID, Project: d.Project, Name: d.Name, Revision: d.Revision, Spec: d.Spec, SealedPassword: d.Sealed,
	}
}

func (h *Hub) loadAccount(ctx context.Context, project, id string) (*accountDoc, error) {
	return load[hubapi.CloudAccountSpec, hubapi.CloudAccountStatus](ctx, h.store, store.KindCloudAccount, project, id)
}

func (h *Hub) listAccounts(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	docs, err := list[hubapi.CloudAccountSpec, hubapi.CloudAccountStatus](
		r.Context(), h.store, store.KindCloudAccount, store.Filter{Project: project, Name: r.URL.Query().Get("name")})
	if err != nil {
		return answer{}, err
	}
	items := make([]hubapi.CloudAccount, 0, len(docs))
	for _, d := range docs {
		items = append(items, accountOf(d))
	}
	return answer{body: hubapi.List[hubapi.CloudAccount]{Items: items}}, nil
}

func (h *Hub) getAccount(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	d, err := h.loadAccount(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return answer{generation: d.Generation, body: accountOf(d)}, nil
}

func (h *Hub) putAccount(w http.ResponseWriter, r *http.Request, project string) (answer, error) {
	id, body, o, err := readPut[hubapi.CloudAccountWrite](w, r)
	if err != nil {
		return answer{}, err
	}
	unlock, err := h.store.Lock(r.Context(), "account/"+project+"/"+body.Name)
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	d, created, err := h.writeAccount(r.Context(), project, id, body, o)
	if err != nil {
		return answer{}, err
	}
	return answer{status: statusOf(created), generation: d.Generation, body: accountOf(d)}, nil
}

// writeAccount has the gateway log in with what is asked and keeps it only when that works.
func (h *Hub) writeAccount(
	ctx context.Context, project, id string, body hubapi.CloudAccountWrite, o hubapi.WriteOptions,
) (d *accountDoc, created bool, err error) {
	if err := h.checkAccount(ctx, project, body.Name, &body.Spec); err != nil {
		return nil, false, err
	}
	d, err = find[hubapi.CloudAccountSpec, hubapi.CloudAccountStatus](
		ctx, h.store, store.KindCloudAccount, project, id, body.Name, o.Create)
	if err != nil {
		return nil, false, err
	}
	switch {
	case d == nil:
		d = newDocument[hubapi.CloudAccountSpec, hubapi.CloudAccountStatus](store.KindCloudAccount, project, id, body.Name, h.now())
		created = true
	case o.Create && (d.Name != body.Name || !same(d.Spec, body.Spec)):
		return nil, false, exists(d.Record)
	case o.Create && d.ID != id:
		// An earlier create whose answer or state was lost. The password in this request is sealed for the id that was
		// asked for and cannot be opened for this one, so what was verified then stays.
		return d, false, nil
	case d.Name == body.Name && same(d.Spec, body.Spec) && bytes.Equal(d.Sealed, body.SealedPassword):
		return d, false, nil // the same request again: one login is enough
	case o.IfGeneration != 0 && o.IfGeneration != d.Generation:
		return nil, false, conflict(d.Record, o.IfGeneration)
	}
	if d.Spec.GatewayID != body.Spec.GatewayID && len(body.SealedPassword) == 0 {
		return nil, false, invalid("/password_wo", "the password has to be given with the gateway that it is sealed for")
	}
	old := *d
	old.Record = new(*d.Record)
	d.Name, d.Spec = body.Name, body.Spec
	if len(body.SealedPassword) > 0 {
		d.Sealed = body.SealedPassword
	}
	d.next()
	if !created && old.Spec.GatewayID != d.Spec.GatewayID {
		return d, false, h.moveAccount(ctx, &old, d, body.SealedHandover)
	}
	return d, created, h.verifyAndKeep(ctx, d)
}

// verify has the gateway log in with the account as it is to be.
func (h *Hub) verify(ctx context.Context, d *accountDoc) error {
	client, err := h.reach(ctx, d.Project, d.Spec.GatewayID)
	if err != nil {
		return err
	}
	asked := gatewayAccount(d)
	asked.Revision++ // the one it will have when it is kept
	if d.Status, err = client.VerifyAccount(ctx, asked); err != nil {
		return fromGateway(d.Spec.GatewayID, err)
	}
	d.ObservedGeneration = d.Generation
	return nil
}

func (h *Hub) verifyAndKeep(ctx context.Context, d *accountDoc) error {
	if err := h.verify(ctx, d); err != nil {
		return err
	}
	record, err := d.encode()
	if err != nil {
		return err
	}
	batch := store.Batch{Put: []*store.Record{record}}
	if d.Revision > 0 {
		clusters, err := h.anchored(ctx, d)
		if err != nil {
			return err
		}
		batch.Put = append(batch.Put, clusters...)
	}
	unlock, err := h.store.Lock(ctx, "references")
	if err != nil {
		return err
	}
	defer unlock()
	if err := h.checkGateway(ctx, d.Project, d.Spec.GatewayID); err != nil {
		return err
	}
	err = h.store.Commit(ctx, batch)
	if errors.Is(err, store.ErrNameTaken) {
		return h.nameTaken(ctx, record)
	}
	return err
}

// nameTaken says who has the name.
func (h *Hub) nameTaken(ctx context.Context, r *store.Record) error {
	records, err := h.store.List(ctx, r.Kind, store.Filter{Project: r.Project, Name: r.Name})
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return store.ErrStale // it has gone in between: the next try will do
	}
	return exists(records[0])
}

// checkAccount checks a spec and resolves the gateway's id in it. What the password is sealed for (address and trust)
// must already be in its canonical form: the gateway opens it for what is kept.
func (h *Hub) checkAccount(ctx context.Context, project, name string, spec *hubapi.CloudAccountSpec) error {
	if err := checkName(name); err != nil {
		return err
	}
	asked := spec.GatewayID
	if spec.GatewayID = h.gatewayID(asked); spec.GatewayID == "" {
		return invalid("/gateway_id", "this hub has no system gateway: name a gateway")
	}
	if err := h.checkGateway(ctx, project, spec.GatewayID); err != nil {
		return gatewayInvalid(asked, err)
	}
	vcenter, err := hubapi.CanonicalVCenter(spec.VCenter)
	if err != nil {
		return invalid("/vcenter", "%s", err)
	}
	if vcenter != spec.VCenter {
		return invalid("/vcenter", "the vCenter's address is not in its canonical form, which is %s", vcenter)
	}
	if spec.Username == "" || strings.TrimSpace(spec.Username) != spec.Username {
		return invalid("/username", "the user name is empty or has spaces at its ends")
	}
	return checkTrust(spec.Trust)
}

// checkTrust lets one kind of trust through: with two it would not be clear which one decides.
func checkTrust(t hubapi.Trust) error {
	kinds := 0
	for _, set := range []bool{t.CACertificate != "", len(t.Thumbprints) > 0, t.Insecure} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		return invalid("", "give at most one of ca_certificate, thumbprints and insecure")
	}
	if t.CACertificate != "" {
		if err := checkPEM(t.CACertificate); err != nil {
			return invalid("/ca_certificate", "%s", err)
		}
	}
	for i, text := range t.Thumbprints {
		field := fmt.Sprintf("/thumbprints/%d", i)
		canonical, err := hubapi.CanonicalThumbprint(text)
		if err != nil {
			return invalid(field, "%s", err)
		}
		if canonical != text {
			return invalid(field, "the thumbprint is not upper-case hex with colons, which would be %s", canonical)
		}
	}
	return nil
}

func checkPEM(text string) error {
	rest, n := []byte(text), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("PEM block %d is a %s, not a CERTIFICATE", n+1, block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("PEM block %d is not a certificate", n+1)
		}
		n++
	}
	if n == 0 || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("not a list of PEM certificates")
	}
	return nil
}

func (h *Hub) deleteAccount(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	ctx := r.Context()
	d, err := h.loadAccount(ctx, project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	unlock, err := h.store.Lock(ctx, "references")
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	clusters, err := h.clustersWhere(ctx, project, func(c *clusterDoc) bool { return c.Spec.CloudAccountID == d.ID })
	if err != nil {
		return answer{}, err
	}
	if len(clusters) > 0 {
		return answer{}, inUse("cloud account %q is used by %s", d.Name, strings.Join(clusters, ", ")).
			WithHint("Delete these clusters first.")
	}
	return answer{}, h.store.Commit(ctx, store.Batch{Remove: []*store.Record{d.Record}})
}

// inventoryKinds are the kinds that can be asked for.
var inventoryKinds = []inventory.Kind{
	inventory.KindDatacenters, inventory.KindComputeClusters, inventory.KindDatastores, inventory.KindNetworks,
	inventory.KindResourcePools, inventory.KindFolders, inventory.KindTemplates,
}

func (h *Hub) getInventory(_ http.ResponseWriter, r *http.Request, project string) (answer, error) {
	kind := inventory.Kind(r.PathValue("kind"))
	if !slices.Contains(inventoryKinds, kind) {
		return answer{}, notFound("there is no inventory of %q", truncate(string(kind)))
	}
	d, err := h.loadAccount(r.Context(), project, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	client, err := h.reach(r.Context(), project, d.Spec.GatewayID)
	if err != nil {
		return answer{}, err
	}
	query := r.URL.Query()
	objects, err := client.Inventory(r.Context(), gatewayapi.InventoryRequest{
		Account: gatewayAccount(d),
		Query: inventory.Query{
			Kind: kind, Datacenter: query.Get("datacenter"), ComputeCluster: query.Get("compute_cluster"),
			AccessibleFrom: query.Get("accessible_from"),
		},
	})
	return answer{body: objects}, fromGateway(d.Spec.GatewayID, err)
}
