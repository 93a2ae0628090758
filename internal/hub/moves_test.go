package hub_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// addGateway makes another gateway, which is connected.
func (b *bench) addGateway(name string) (id string, fake *fakeGateway) {
	b.t.Helper()
	g, err := b.client.PutGateway(b.t.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: name}, hubapi.WriteOptions{Create: true})
	if err != nil {
		b.t.Fatal(err)
	}
	fake = newFakeGateway()
	server := httptest.NewServer(fake.handler())
	transport := &http.Transport{}
	b.t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	if b.beside == nil {
		b.beside = map[string]http.RoundTripper{}
	}
	b.beside[g.ID] = fakeTransport{fake, rewrite{server.Listener.Addr().String(), transport}}
	return g.ID, fake
}

// sealed has the gateway report that it has made a cluster's secrets, and is done.
func (b *bench) sealed(c *hubapi.Cluster, secrets string) {
	b.t.Helper()
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: c.Generation, ObservedGeneration: c.Generation, SealedSecrets: []byte(secrets),
		Status: hubapi.ClusterStatus{Phase: hubapi.PhaseReady, Ready: true, Machines: []hubapi.Machine{{Name: "prod-cp-0"}}},
	}})
	b.gateway.waitAcked(b.t)
}

func moved(to, password string) hubapi.CloudAccountWrite {
	w := accountWrite("prod")
	w.Spec.GatewayID, w.SealedPassword = to, []byte(password)
	return w
}

// TestMoveAccount moves an account with a cluster: the cluster's secrets are those that the old gateway sealed to the new
// one, and its machines stay those of the gateway that made it, there and back again.
func TestMoveAccount(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	c := b.create(spec("prod", account.ID))
	b.sealed(c, "secrets")
	other, fake := b.addGateway("other")
	w := moved(other, "for other")
	w.SealedHandover = []byte("word")
	got, err := b.client.PutCloudAccount(t.Context(), account.ID, w, hubapi.WriteOptions{})
	if err != nil || got.Spec.GatewayID != other {
		t.Fatalf("moving: %+v, %v", got, err)
	}
	want := gatewayapi.HandoverRequest{
		Account: b.gateway.handovers[0].Account, Sealed: []byte("word"), Gateway: other, PublicKey: []byte("key"),
		Clusters: []gatewayapi.SealedCluster{{ID: c.ID, SealedSecrets: []byte("secrets")}},
	}
	if diff := cmp.Diff([]gatewayapi.HandoverRequest{want}, b.gateway.handovers); diff != "" {
		t.Errorf("asked of the gateway that is left (-want +got):\n%s", diff)
	}
	if a := want.Account; a.Spec.GatewayID != systemID || string(a.SealedPassword) != "sealed-1" {
		t.Errorf("the gateway that is left is shown another account: %+v", a)
	}
	if v := fake.verified; len(v) != 1 || string(v[0].SealedPassword) != "for other" {
		t.Errorf("the new gateway verified %+v", v)
	}
	if origin := b.get(c.ID).Status.Origin; origin != systemID {
		t.Errorf("the cluster's machines are those of %s, want %s", origin, systemID)
	}
	// A late report of the gateway that was left is about what it no longer has.
	b.gateway.report(gatewayapi.Report{Cluster: &gatewayapi.ClusterReport{
		ID: c.ID, Generation: c.Generation, SealedSecrets: []byte("stale"), Status: hubapi.ClusterStatus{Phase: hubapi.PhaseFailed},
	}})
	b.gateway.waitAcked(t)
	if phase := b.get(c.ID).Status.Phase; phase != hubapi.PhaseReady {
		t.Errorf("the gateway that was left made the cluster %s", phase)
	}
	// And back: the other one hands over what it was given, and has sealed to itself since.
	w = moved(systemID, "for system")
	w.SealedHandover = []byte("back")
	if _, err := b.client.PutCloudAccount(t.Context(), account.ID, w, hubapi.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if secrets := string(fake.handovers[0].Clusters[0].SealedSecrets); secrets != "svc@vsphere.local:resecrets" {
		t.Errorf("the other gateway was asked to hand over %q", secrets)
	}
	if origin := b.get(c.ID).Status.Origin; origin != systemID {
		t.Errorf("back again, the machines are those of %s", origin)
	}
}

func TestMoveAccountRefused(t *testing.T) {
	b := newBench(t)
	account := b.account("prod")
	c := b.create(spec("prod", account.ID))
	other, fake := b.addGateway("other")
	try := func(reason string, w hubapi.CloudAccountWrite, want fault, words string) {
		t.Helper()
		_, err := b.client.PutCloudAccount(t.Context(), account.ID, w, hubapi.WriteOptions{})
		if diff := cmp.Diff(want, faultOf(t, err)); diff != "" || (err != nil && !strings.Contains(err.Error(), words)) {
			t.Errorf("%s: %v (-want +got):\n%s", reason, err, diff)
		}
	}
	word := moved(other, "for other")
	word.SealedHandover = []byte("word")
	try("while the cluster is being made", word, fault{hubapi.CodeBusy, http.StatusConflict, "/gateway_id"}, `"prod"`)
	b.sealed(c, "secrets")
	try("without the password", moved(other, ""), fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, "/password_wo"}, "password")
	try("without a word to hand over", moved(other, "x"), fault{hubapi.CodeInvalid, http.StatusUnprocessableEntity, "/gateway_id"}, "hand")
	b.gateway.set(func() { b.gateway.down = true })
	try("while the gateway that is left is away", word, fault{hubapi.CodeUnreachable, http.StatusServiceUnavailable, "/gateway_id"}, "only gateway")
	b.gateway.set(func() { b.gateway.down = false })
	fake.set(func() { fake.refuse[gatewayapi.PathVerifyAccount] = hubapi.NewProblem(hubapi.CodeCredentials, "no") })
	_, err := b.client.PutCloudAccount(t.Context(), account.ID, word, hubapi.WriteOptions{})
	if p, ok := errors.AsType[*hubapi.Problem](err); !ok || p.Code != hubapi.CodeCredentials {
		t.Errorf("while the new gateway is not let in: %v", err)
	}
	got, err := b.client.CloudAccount(t.Context(), account.ID)
	if err != nil || got.Spec.GatewayID != systemID {
		t.Errorf("after refusals the account is %+v, %v", got, err)
	}
	if n := len(b.gateway.handovers); n != 0 {
		t.Errorf("%d handovers were asked for", n)
	}
}

// TestMovePool moves an address pool with its leases: what the gateway that is left remembers of it is out of date.
func TestMovePool(t *testing.T) {
	b := newBench(t)
	pool := b.pool(poolWrite("nodes", "10.1.0.0/24", "10.1.0.1"))
	lease := hubapi.IPLease{Address: "10.1.0.2", InstanceUUID: "u", ClusterID: uuid.NewString(), Machine: "m"}
	report := func(leases ...hubapi.IPLease) {
		b.gateway.report(gatewayapi.Report{Pool: &gatewayapi.PoolReport{ID: pool.ID, Status: hubapi.IPPoolStatus{Leases: leases}}})
		b.gateway.waitAcked(t)
	}
	report(lease)
	other, _ := b.addGateway("other")
	w := poolWrite("nodes", "10.1.0.0/24", "10.1.0.1")
	w.Spec.GatewayID = other
	got, err := b.client.PutIPPool(t.Context(), pool.ID, w, hubapi.WriteOptions{})
	if err != nil || got.Spec.GatewayID != other || got.Status.Used != 1 || got.Status.Since != got.Generation {
		t.Fatalf("moved %+v, %v", got, err)
	}
	report() // by the gateway that was left
	if got, err = b.client.IPPool(t.Context(), pool.ID); err != nil || got.Status.Used != 1 {
		t.Errorf("after a late report of the gateway that was left: %+v, %v", got, err)
	}
}

func TestCustody(t *testing.T) {
	b := newBench(t)
	id, _ := b.addGateway("other")
	if _, err := b.client.Custody(t.Context(), id); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("before anything was given: %v", err)
	}
	first, err := b.client.TakeCustody(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.client.TakeCustody(t.Context(), id)
	if diff := cmp.Diff(first, second); err != nil || diff != "" {
		t.Errorf("given twice: %v (-first +second):\n%s", err, diff)
	}
	kept, err := b.client.Custody(t.Context(), id)
	if diff := cmp.Diff(first, kept); err != nil || diff != "" {
		t.Errorf("kept: %v (-given +kept):\n%s", err, diff)
	}
	if _, err := b.client.TakeCustody(t.Context(), uuid.NewString()); !errors.Is(err, hubapi.ErrNotFound) {
		t.Errorf("of a gateway that is not there: %v", err)
	}
}

func TestMayDeleteGateway(t *testing.T) {
	b := newBench(t)
	id, _ := b.addGateway("other")
	w := accountWrite("prod")
	w.Spec.GatewayID = id
	if _, err := b.client.PutCloudAccount(t.Context(), uuid.NewString(), w, hubapi.WriteOptions{Create: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.client.MayDeleteGateway(t.Context(), id); !errors.Is(err, hubapi.ErrInUse) {
		t.Errorf("of a gateway in use: %v", err)
	}
	free, _ := b.addGateway("free")
	if err := b.client.MayDeleteGateway(t.Context(), free); err != nil {
		t.Errorf("of a gateway that nothing uses: %v", err)
	}
	if _, err := b.client.Gateway(t.Context(), free); err != nil {
		t.Errorf("asking has deleted the gateway: %v", err)
	}
}
