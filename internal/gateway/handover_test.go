package gateway_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
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

// handover is the owner's word that the account's clusters go to a gateway.
func handover(t *testing.T, account gatewayapi.Account, from gateway.Identity, word hubapi.Handover) []byte {
	t.Helper()
	text, err := json.Marshal(word)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Seal(from.Key.PublicKey(), hubapi.HandoverBinding(account.Project, account.ID, from.ID), text)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func newIdentity(t *testing.T) gateway.Identity {
	t.Helper()
	identity, err := gateway.LoadIdentity(filepath.Join(t.TempDir(), "gateway.json"))
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// TestHandOver moves a cluster with leased addresses to another gateway: no machine is touched, the next one gets an address
// that is free, and nothing is left when the cluster is deleted there.
func TestHandOver(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	foreign := vc.VMs()
	first, second := newIdentity(t), newIdentity(t)
	from, to := startGateway(t, first), startGateway(t, second)
	account := accountOf(t, first, vc, vc.Password())
	spec := specOf(account, 1)
	pool := hubapi.IPPool{Meta: hubapi.Meta{ID: uuid.NewString(), Name: "nodes", Generation: 1}, Spec: hubapi.IPPoolSpec{
		GatewayID: first.ID, Subnet: "10.20.0.0/22", Gateway: "10.20.0.1", Prefix: 22, Excluded: []string{"10.20.3.200"},
	}}
	spec.ControlPlane.Placements[0].IPPoolID = pool.ID
	general := spec.WorkerPools["general"]
	general.Placements = slices.Clone(general.Placements)
	general.Placements[0].IPPoolID = pool.ID
	spec.WorkerPools["general"] = general
	a := gatewayapi.Assignment{
		ID: uuid.NewString(), Project: "default", Generation: 1, Spec: spec, Account: account, Pools: []hubapi.IPPool{pool},
	}
	if err := from.client.Assign(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	made := from.await(t, a.ID, 1)
	if made.Status.Phase != hubapi.PhaseReady {
		t.Fatalf("the cluster is %s: %s", made.Status.Phase, made.Status.Message)
	}

	answer, err := from.client.HandOver(t.Context(), gatewayapi.HandoverRequest{
		Account: account, Gateway: second.ID, PublicKey: second.Key.PublicKey(),
		Sealed: handover(t, account, first, hubapi.Handover{
			Password: vc.Password(), Gateway: second.ID, Fingerprint: seal.Fingerprint(second.Key.PublicKey()),
			Expires: time.Now().Add(time.Hour),
		}),
		Clusters: []gatewayapi.SealedCluster{{ID: a.ID, SealedSecrets: from.secrets[a.ID]}},
	})
	if err != nil || len(answer.Clusters) != 1 {
		t.Fatalf("handing over: %+v, %v", answer, err)
	}
	from.stop()

	moved := a
	moved.Account = accountOf(t, second, vc, vc.Password())
	moved.SealedSecrets, moved.Status = answer.Clusters[0].SealedSecrets, made.Status
	moved.Status.Origin = first.ID
	moved.Pools = slices.Clone(a.Pools)
	moved.Pools[0].Spec.GatewayID, moved.Pools[0].Generation, moved.Pools[0].Status = second.ID, 2, from.pools[pool.ID]
	moved.Pools[0].Status.Since = 2
	vc.ResetCalls()
	preview, err := to.client.Preview(t.Context(), moved)
	if err != nil || len(preview.Operations)+len(preview.Problems) > 0 {
		t.Errorf("a moved cluster plans %v, %v, %v; want nothing", preview.Summary, preview.Problems, err)
	}
	moved.Generation = 2
	general.Count = 2
	moved.Spec.WorkerPools = map[string]hubapi.Pool{"general": general}
	if err := to.client.Assign(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	grown := to.await(t, a.ID, 2)
	if grown.Status.Phase != hubapi.PhaseReady || len(grown.Status.Machines) != 3 {
		t.Fatalf("the cluster is %s with %d machines: %s", grown.Status.Phase, len(grown.Status.Machines), grown.Status.Message)
	}
	calls := vc.Calls()
	if diff := cmp.Diff(map[string]int{"CloneVM_Task": 1, "Destroy_Task": 0}, map[string]int{
		"CloneVM_Task": calls["CloneVM_Task"], "Destroy_Task": calls["Destroy_Task"],
	}); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	held := map[string]bool{}
	for _, lease := range to.pools[pool.ID].Leases {
		held[lease.Address] = true
	}
	if len(held) != 3 {
		t.Errorf("three machines have addresses %v", held)
	}

	gone := moved
	gone.Generation, gone.Deleting, gone.Status = 3, true, grown.Status
	gone.Status.Origin = first.ID
	if err := to.client.Assign(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	to.awaitUntil(t, a.ID, "the cluster is gone", func() bool { return to.clusters[a.ID].Gone })
	if diff := cmp.Diff(foreign, vc.VMs()); diff != "" {
		t.Errorf("VMs before (-) and after (+):\n%s", diff)
	}
}

// TestHandOverRefused checks that a hub cannot have the secrets of clusters sealed to a key that their owner did not name.
func TestHandOverRefused(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	elsewhere := testkit.Start(t, testkit.Options{})
	hub, mine := newFakeHub(t)
	theirs, hostile := newIdentity(t), newIdentity(t)
	account := accountOf(t, mine, vc, vc.Password())
	word := hubapi.Handover{
		Password: vc.Password(), VCenter: vc.Host(), Username: vc.Username(), Trust: hubapi.Trust{CACertificate: vc.CACertificate()},
		Gateway: theirs.ID, Fingerprint: seal.Fingerprint(theirs.Key.PublicKey()), Expires: time.Now().Add(time.Hour),
	}
	cases := map[string]struct {
		reason string
		word   func(*hubapi.Handover)
		ask    func(*gatewayapi.HandoverRequest)
		want   hubapi.Code
	}{
		"Fits": {reason: "What the owner says is done."},
		"OtherKey": {
			reason: "The hub shows a key of its own for the gateway.",
			ask:    func(r *gatewayapi.HandoverRequest) { r.PublicKey = hostile.Key.PublicKey() }, want: hubapi.CodeUntrusted,
		},
		"OtherGateway": {
			reason: "The hub names a gateway of its own.",
			ask:    func(r *gatewayapi.HandoverRequest) { r.Gateway = hostile.ID }, want: hubapi.CodeUntrusted,
		},
		"WrongPassword": {
			reason: "Who does not know the password is not the owner.",
			word:   func(w *hubapi.Handover) { w.Password = "guessed" }, want: hubapi.CodeCredentials,
		},
		"Late": {
			reason: "An old word is not good for ever.",
			word:   func(w *hubapi.Handover) { w.Expires = time.Now().Add(-time.Second) }, want: hubapi.CodeUntrusted,
		},
		"OtherVCenter": {
			reason: "The hub makes up an account, and a word, for a vCenter of its own that takes any password.",
			word:   func(w *hubapi.Handover) { w.Password = "guessed" },
			ask: func(r *gatewayapi.HandoverRequest) {
				r.Account = accountOf(t, mine, elsewhere, "guessed")
				r.Account.ID = account.ID
			}, want: hubapi.CodeCredentials,
		},
		"OtherAccount": {
			reason: "The word for one account does not move another.",
			ask:    func(r *gatewayapi.HandoverRequest) { r.Account.ID = uuid.NewString() }, want: hubapi.CodeUntrusted,
		},
		"Nothing": {
			reason: "Without a word nothing is handed over.",
			ask:    func(r *gatewayapi.HandoverRequest) { r.Sealed = nil }, want: hubapi.CodeUntrusted,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			said := word
			if tc.word != nil {
				tc.word(&said)
			}
			request := gatewayapi.HandoverRequest{
				Account: account, Gateway: theirs.ID, PublicKey: theirs.Key.PublicKey(), Sealed: handover(t, account, mine, said),
				Clusters: []gatewayapi.SealedCluster{anchored(t, mine, vc)},
			}
			if tc.ask != nil {
				tc.ask(&request)
			}
			_, err := hub.client.HandOver(t.Context(), request)
			var got hubapi.Code
			if p, ok := errors.AsType[*hubapi.Problem](err); ok {
				got = p.Code
			}
			if got != tc.want || (err != nil) != (tc.want != "") {
				t.Errorf("%s\nhanding over: want %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

// anchored is the sealed secrets of a cluster that was made at the vCenter.
func anchored(t *testing.T, by gateway.Identity, vc *testkit.VCenter) gatewayapi.SealedCluster {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"secrets": map[string]any{},
		"anchor": map[string]any{
			"vcenter": vc.Host(), "username": vc.Username(), "password": vc.Password(),
			"trust": map[string]any{"ca_certificate": vc.CACertificate()},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	sealed, err := by.Key.SealOwn(
		seal.Binding{Purpose: seal.PurposeClusterSecrets, Project: "default", Gateway: by.ID, Object: id}, text)
	if err != nil {
		t.Fatal(err)
	}
	return gatewayapi.SealedCluster{ID: id, SealedSecrets: sealed}
}

// TestAnchorFollowsTheOwner changes an account in ways that its owner may, and in one that only a hub that lies would.
func TestAnchorFollowsTheOwner(t *testing.T) {
	vc := testkit.Start(t, testkit.Options{})
	elsewhere := testkit.Start(t, testkit.Options{})
	hub, mine := newFakeHub(t)
	c := anchored(t, mine, vc)
	account := accountOf(t, mine, vc, vc.Password())
	answer, err := hub.client.Anchor(t.Context(), gatewayapi.AnchorRequest{Account: account, Clusters: []gatewayapi.SealedCluster{c}})
	if err != nil || len(answer.Clusters) != 0 {
		t.Fatalf("an account that has not changed: %+v, %v", answer, err)
	}
	for password, kept := range map[string]bool{vc.Password(): true, "0ther": false} {
		elsewhere.SetPassword(password)
		moved := accountOf(t, mine, elsewhere, password)
		answer, err = hub.client.Anchor(t.Context(), gatewayapi.AnchorRequest{Account: moved, Clusters: []gatewayapi.SealedCluster{c}})
		if (err == nil) != kept || len(answer.Clusters) == 1 != kept {
			t.Errorf("another vCenter where the password is %s: %+v, %v; want it to be followed: %v", password, answer, err, kept)
		}
		if p, ok := errors.AsType[*hubapi.Problem](err); !kept && (!ok || p.Code != hubapi.CodeUntrusted) {
			t.Errorf("refused with %v", err)
		}
	}
}
