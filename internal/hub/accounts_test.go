package hub_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestGateway(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{hubapi.SystemGatewayID, systemID} {
		g, err := b.client.Gateway(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := &hubapi.Gateway{
			Meta: hubapi.Meta{ID: systemID, Project: "default", Name: "system"}, System: true,
			Status: hubapi.GatewayStatus{State: hubapi.GatewayOnline, PublicKey: "a2V5", Version: "1.2.3"},
		}
		if diff := cmp.Diff(want, g); diff != "" {
			t.Errorf("gateway %s (-want +got):\n%s", id, diff)
		}
	}
	if _, err := b.client.Gateway(t.Context(), uuid.NewString()); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("unknown gateway: %v", err)
	}
}

func TestAccountLife(t *testing.T) {
	b := newBench(t)
	a := b.account("prod")
	if a.Spec.GatewayID != systemID || a.Status.VCenterVersion != "8.0.3" || a.Generation != 1 {
		t.Errorf("created %+v", a)
	}
	w := accountWrite("prod")
	w.Spec.Username, w.SealedPassword = "other@vsphere.local", nil
	updated, err := b.client.PutCloudAccount(t.Context(), a.ID, w, hubapi.WriteOptions{IfGeneration: 1})
	if err != nil || updated.Generation != 2 || updated.Spec.Username != "other@vsphere.local" {
		t.Fatalf("updated %+v, %v", updated, err)
	}
	if n := len(b.gateway.verified); n != 2 || string(b.gateway.verified[1].SealedPassword) != "sealed-1" {
		t.Errorf("verified %d times, last %+v", n, b.gateway.verified[n-1])
	}
	if v := b.gateway.verified[1]; v.Revision != updated.Revision {
		t.Errorf("verified as revision %d, kept as %d: a gateway would log in again", v.Revision, updated.Revision)
	}
	found, err := b.client.CloudAccountByName(t.Context(), "prod")
	if diff := cmp.Diff(updated, found); err != nil || diff != "" {
		t.Errorf("by name: %v (-want +got):\n%s", err, diff)
	}
	inventoryQuery := hubapi.InventoryQuery{
		Kind: hubapi.KindDatastores, Datacenter: "dc-north", ComputeCluster: "prod-a", AccessibleFrom: "prod-b",
	}
	objects, err := b.client.Inventory(t.Context(), a.ID, inventoryQuery)
	if err != nil || len(objects.Datacenters) != 1 {
		t.Errorf("inventory %+v, %v", objects, err)
	}
	if diff := cmp.Diff(inventoryQuery, b.gateway.queries[0].Query); diff != "" {
		t.Errorf("the gateway was asked (-want +got):\n%s", diff)
	}
	if _, err := b.client.Inventory(t.Context(), a.ID, hubapi.InventoryQuery{Kind: "moons"}); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("inventory of an unknown kind: %v", err)
	}

	b.create(spec("prod", a.ID))
	err = b.client.DeleteCloudAccount(t.Context(), a.ID)
	if !errors.Is(err, hubapi.ErrInUse) || !strings.Contains(hubapi.AsProblem(err).Detail, `"prod"`) {
		t.Errorf("deleting an account in use: %v", err)
	}
	unused := b.account("unused")
	if err := b.client.DeleteCloudAccount(t.Context(), unused.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.client.DeleteCloudAccount(t.Context(), unused.ID); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
}

func TestAccountCreateAgain(t *testing.T) {
	b := newBench(t)
	a := b.account("prod")
	w := accountWrite("prod")
	create := hubapi.WriteOptions{Create: true}
	if got, err := b.client.PutCloudAccount(t.Context(), a.ID, w, create); err != nil || got.Generation != 1 {
		t.Errorf("the same request again: %+v, %v", got, err)
	}
	w.SealedPassword = []byte("sealed for another id")
	if got, err := b.client.PutCloudAccount(t.Context(), uuid.NewString(), w, create); err != nil || got.ID != a.ID {
		t.Errorf("a create whose answer was lost: %+v, %v", got, err)
	}
	if n := len(b.gateway.verified); n != 1 {
		t.Errorf("logged in %d times, want once", n)
	}
	w.Spec.Username = "other"
	_, err := b.client.PutCloudAccount(t.Context(), uuid.NewString(), w, create)
	hint := "terraform import palette_cloud_account.<name> " + a.ID
	if !errors.Is(err, hubapi.ErrAlreadyExists) || !strings.Contains(hubapi.AsProblem(err).Hint, hint) {
		t.Errorf("another account of the name: %v", err)
	}
	other := b.account("other")
	_, err = b.client.PutCloudAccount(t.Context(), other.ID, accountWrite("prod"), hubapi.WriteOptions{})
	if !errors.Is(err, hubapi.ErrAlreadyExists) {
		t.Errorf("renaming to a name that is taken: %v", err)
	}
}

func TestAccountRefused(t *testing.T) {
	unprocessable := http.StatusUnprocessableEntity
	for name, tc := range map[string]struct {
		reason string
		change func(*hubapi.CloudAccountWrite)
		said   *hubapi.Problem
		want   fault
		logins int
	}{
		"no name": {
			change: func(w *hubapi.CloudAccountWrite) { w.Name = "" },
			want:   fault{hubapi.CodeInvalid, unprocessable, "/name"},
		},
		"unknown gateway": {
			change: func(w *hubapi.CloudAccountWrite) { w.Spec.GatewayID = uuid.NewString() },
			want:   fault{hubapi.CodeInvalid, unprocessable, "/gateway_id"},
		},
		"address not canonical": {
			reason: "the password is sealed for the canonical address",
			change: func(w *hubapi.CloudAccountWrite) { w.Spec.VCenter = "https://VC.example.com/sdk" },
			want:   fault{hubapi.CodeInvalid, unprocessable, "/vcenter"},
		},
		"two kinds of trust": {
			change: func(w *hubapi.CloudAccountWrite) {
				w.Spec.Trust = hubapi.Trust{Insecure: true, Thumbprints: []string{strings.Repeat("AB:", 19) + "AB"}}
			},
			want: fault{hubapi.CodeInvalid, unprocessable, ""},
		},
		"CA that is none": {
			change: func(w *hubapi.CloudAccountWrite) { w.Spec.Trust.CACertificate = "-----BEGIN CERTIFICATE-----\nAAAA" },
			want:   fault{hubapi.CodeInvalid, unprocessable, "/ca_certificate"},
		},
		"thumbprint too short": {
			change: func(w *hubapi.CloudAccountWrite) { w.Spec.Trust.Thumbprints = []string{"AB:CD"} },
			want:   fault{hubapi.CodeInvalid, unprocessable, "/thumbprints/0"},
		},
		"wrong password": {
			reason: "one login, and the gateway's words as they are",
			change: func(*hubapi.CloudAccountWrite) {},
			said: &hubapi.Problem{
				Status: unprocessable, Code: hubapi.CodeCredentials, Field: "/password_wo", Detail: "refused", Hint: "correct it",
			},
			want: fault{hubapi.CodeCredentials, unprocessable, "/password_wo"},
		},
		"vCenter away": {
			reason: "not repeated by the client: the gateway has tried",
			change: func(*hubapi.CloudAccountWrite) {},
			said:   &hubapi.Problem{Status: http.StatusBadGateway, Code: hubapi.CodeUnreachable, Field: "/vcenter", Detail: "no route"},
			want:   fault{hubapi.CodeUnreachable, http.StatusFailedDependency, "/vcenter"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			w := accountWrite("prod")
			tc.change(&w)
			b.gateway.set(func() { b.gateway.refuse[gatewayapi.PathVerifyAccount] = tc.said })
			id := uuid.NewString()
			_, err := b.client.PutCloudAccount(t.Context(), id, w, hubapi.WriteOptions{Create: true})
			if diff := cmp.Diff(tc.want, faultOf(t, err)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if tc.said != nil && hubapi.AsProblem(err).Hint != tc.said.Hint {
				t.Errorf("the gateway's hint was lost: %+v", err)
			}
			if _, err := b.client.CloudAccount(t.Context(), id); !errors.Is(err, hubapi.ErrNotFound) {
				t.Errorf("an account that was refused is kept: %v", err)
			}
		})
	}
}

// TestAccountChangeFollowed changes an account that has clusters: their secrets are bound to the account anew.
func TestAccountChangeFollowed(t *testing.T) {
	b := newBench(t)
	a := b.account("prod")
	c := b.create(spec("prod", a.ID))
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: 1, ObservedGeneration: 1, SealedSecrets: []byte("pki"),
		Status: hubapi.ClusterStatus{Phase: hubapi.PhaseReady, Ready: true},
	}})
	b.gateway.waitAcked(t)
	write := accountWrite("prod")
	write.Spec.Username, write.SealedPassword = "other", []byte("sealed anew")
	if _, err := b.client.PutCloudAccount(t.Context(), a.ID, write, hubapi.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	changed := spec("prod", a.ID)
	changed.NTPServers = []string{"10.0.0.1"}
	if _, err := b.client.PutCluster(t.Context(), c.ID, hubapi.ClusterWrite{Spec: changed}, hubapi.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	given := b.gateway.assignments()
	if got := string(given[len(given)-1].SealedSecrets); got != "other:pki" {
		t.Errorf("the gateway gets secrets %q, want those that it bound to the new account", got)
	}
}
