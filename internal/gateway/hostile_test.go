package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// madeUp is what a hub seals to a gateway's public key as the secrets of a cluster: all but the password it knows.
func madeUp(t *testing.T, to gateway.Identity, cluster string, at gatewayapi.Account, password, origin string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"secrets": map[string]any{}, "origin": origin,
		"anchor": map[string]any{
			"vcenter": at.Spec.VCenter, "username": at.Spec.Username, "password": password, "trust": at.Spec.Trust,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	binding := seal.Binding{Purpose: seal.PurposeClusterSecrets, Project: "default", Gateway: to.ID, Object: cluster}
	sealed, err := seal.Seal(to.Key.PublicKey(), binding, text)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestSecretsOfAHub has a hub that makes the secrets of a new cluster itself, so that it would know its authorities.
func TestSecretsOfAHub(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	before := vc.VMs()
	hub, mine := newFakeHub(t)
	account := accountOf(t, mine, vc, vc.Password())
	a := gatewayapi.Assignment{
		ID: uuid.NewString(), Project: "default", Generation: 1, Spec: specOf(account, 0), Account: account,
	}
	for generation, password := range []string{"", "guessed"} {
		a.Generation = int64(generation + 1)
		a.SealedSecrets = madeUp(t, mine, a.ID, account, password, mine.ID)
		if err := hub.client.Assign(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		report := hub.await(t, a.ID, a.Generation)
		if report.Status.Phase != hubapi.PhaseFailed {
			t.Errorf("with secrets that a hub has made the cluster is %s", report.Status.Phase)
		}
	}
	if diff := cmp.Diff(before, vc.VMs()); diff != "" {
		t.Errorf("VMs before (-) and after (+):\n%s", diff)
	}
}

// TestOriginOfAHub has a hub that says that a cluster of another gateway came to this one, to have its machines deleted.
func TestOriginOfAHub(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	theirs, mine := newIdentity(t), newIdentity(t)
	owner, other := startGateway(t, theirs), startGateway(t, mine)
	account := accountOf(t, theirs, vc, vc.Password())
	a := gatewayapi.Assignment{
		ID: uuid.NewString(), Project: "default", Generation: 1, Spec: specOf(account, 0), Account: account,
	}
	if err := owner.client.Assign(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	made := owner.await(t, a.ID, 1)
	if made.Status.Phase != hubapi.PhaseReady {
		t.Fatalf("the cluster is %s: %s", made.Status.Phase, made.Status.Message)
	}
	machines := vc.VMs()
	a.Account = accountOf(t, mine, vc, vc.Password())
	a.Deleting, a.Status = true, made.Status
	a.Status.Origin = theirs.ID
	for name, sealed := range map[string][]byte{
		"without secrets": nil, "with secrets of the hub's": madeUp(t, mine, a.ID, a.Account, "guessed", theirs.ID),
	} {
		a.Generation++
		a.SealedSecrets = sealed
		if err := other.client.Assign(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		other.awaitUntil(t, a.ID, "the delete is over", func() bool {
			c := other.clusters[a.ID]
			return c.Gone || c.ObservedGeneration == a.Generation
		})
		if diff := cmp.Diff(machines, vc.VMs()); diff != "" {
			t.Fatalf("%s, VMs before (-) and after (+):\n%s", name, diff)
		}
	}
}

// TestHandOverSendsNoPasswordElsewhere has a hub with a vCenter and a cluster of its own there: the owner's word for another
// account must not take the password to it, whether the gateway or the hub has sealed the cluster's secrets.
func TestHandOverSendsNoPasswordElsewhere(t *testing.T) {
	vc, hostile := testkit.Start(t, testkit.Options{}), testkit.Start(t, testkit.Options{})
	hub, mine := newFakeHub(t)
	to := newIdentity(t)
	account := accountOf(t, mine, vc, vc.Password())
	bait := accountOf(t, mine, hostile, hostile.Password())
	made := uuid.NewString()
	request := gatewayapi.HandoverRequest{
		Account: account, Gateway: to.ID, PublicKey: to.Key.PublicKey(),
		Sealed: handover(t, account, mine, hubapi.Handover{
			Password: "the owner's", VCenter: account.Spec.VCenter, Username: account.Spec.Username, Trust: account.Spec.Trust,
			Gateway: to.ID, Fingerprint: seal.Fingerprint(to.Key.PublicKey()), Expires: time.Now().Add(time.Hour),
		}),
	}
	hostile.ResetCalls()
	for _, c := range []gatewayapi.SealedCluster{
		anchored(t, mine, hostile), {ID: made, SealedSecrets: madeUp(t, mine, made, bait, "any", "")},
	} {
		request.Clusters = []gatewayapi.SealedCluster{c}
		_, err := hub.client.HandOver(t.Context(), request)
		if p, ok := errors.AsType[*hubapi.Problem](err); !ok || p.Code != hubapi.CodeUntrusted {
			t.Errorf("handing over a cluster at a vCenter of the hub's: %v", err)
		}
	}
	if calls := hostile.Calls(); len(calls) > 0 {
		t.Errorf("the hub's vCenter was called: %v", calls)
	}
}

// TestGuessing has a hub that tries passwords on a vCenter of its own and looks whether one is that of a cluster's anchor. It
// gets few tries; clusters whose owner has changed nothing do not notice.
func TestGuessing(t *testing.T) {
	vc, hostile := testkit.Start(t, testkit.Options{}), testkit.Start(t, testkit.Options{})
	hub, mine := newFakeHub(t)
	c := anchored(t, mine, vc)
	try := func(password string) error {
		hostile.SetPassword(password)
		_, err := hub.client.Anchor(t.Context(), gatewayapi.AnchorRequest{
			Account: accountOf(t, mine, hostile, password), Clusters: []gatewayapi.SealedCluster{c},
		})
		return err
	}
	for i := range 10 {
		if p, ok := errors.AsType[*hubapi.Problem](try(fmt.Sprint("guess", i))); !ok || p.Code != hubapi.CodeUntrusted {
			t.Fatalf("guess %d: %v", i, p)
		}
	}
	if p, ok := errors.AsType[*hubapi.Problem](try(vc.Password())); !ok || p.Code != hubapi.CodeRateLimited {
		t.Errorf("one guess too many, which is right: %v", p)
	}
	_, err := hub.client.Anchor(t.Context(), gatewayapi.AnchorRequest{
		Account: accountOf(t, mine, vc, vc.Password()), Clusters: []gatewayapi.SealedCluster{c},
	})
	if err != nil {
		t.Errorf("the owner suffers for what the hub does: %v", err)
	}
}
