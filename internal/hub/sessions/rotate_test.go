package sessions_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// TestRotationThatAReplicaRefuses shows that the hub makes no key the gateway's that one of its replicas does not believe or
// cannot be told of, and that a replica with a damaged rotation goes on as it was.
func TestRotationThatAReplicaRefuses(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	one := newReplica(t).mustPair(i, g.ID)
	before := one.sealing.PublicKey()
	one.mustConnect(i)
	one.await("holder", 5*time.Second, one.holds)
	two := newReplica(t)
	two.sealing = one.sealing
	two.mustPair(i, g.ID)
	next, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	good, err := gatewayapi.NewRotation("default", g.ID, one.sealing, next)
	if err != nil {
		t.Fatal(err)
	}
	var offered gatewayapi.Rotation
	offers := 0
	two.extra["POST "+gatewayapi.PathKeys] = handle(two, func(gatewayapi.KeysWord) gatewayapi.KeysAnswer {
		offers++
		return gatewayapi.KeysAnswer{Key: before, Rotations: []gatewayapi.Rotation{offered}}
	})
	asked := 0
	one.extra["POST "+gatewayapi.PathKeys] = func(w http.ResponseWriter, r *http.Request) {
		var word gatewayapi.KeysWord
		if err := hubapi.ReadJSON(w, r, &word); err != nil || word.Next == nil {
			hubapi.WriteJSON(w, http.StatusOK, gatewayapi.KeysAnswer{Key: before})
			return
		}
		one.set(func() { asked++ })
		hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeUntrusted, "it is forged"))
	}
	one.mustConnect(i)
	one.await("holder again", 15*time.Second, one.holds)
	for name, damage := range map[string]func(*gatewayapi.Rotation){
		"not a key":           func(r *gatewayapi.Rotation) { r.To = []byte("none") },
		"too large":           func(r *gatewayapi.Rotation) { r.Sealed = make([]byte, 1<<16) },
		"voucher without mac": func(r *gatewayapi.Rotation) { r.Voucher = &hubapi.KeyVoucher{Serial: 1} },
		"does not follow":     func(r *gatewayapi.Rotation) { r.From = next.PublicKey() },
		"refused":             func(*gatewayapi.Rotation) {},
	} {
		two.set(func() {
			offered = good
			damage(&offered)
			offers = 0
		})
		c := two.mustConnect(i)
		if name == "refused" {
			one.await("asked", 10*time.Second, func() bool { return asked > 0 })
		} else {
			two.await("asked twice", 5*time.Second, func() bool { return offers > 1 })
		}
		got, err := i.client.Gateway(t.Context(), g.ID)
		if err != nil || got.KeyFingerprint() != seal.Fingerprint(before) || len(got.Status.FormerKeys) > 0 {
			t.Errorf("%s: the gateway has key %s, %v", name, got.KeyFingerprint(), err)
		}
		c.stop()
		<-c.done
	}
	if !bytes.Equal(before, one.sealing.PublicKey()) {
		t.Error("the key has changed")
	}
}
