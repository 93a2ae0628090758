package gateway_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// fakeHub is a hub that knows gateways and tokens, and no tunnels: a test says when a gateway is paired, and with which key.
type fakeHub struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	gateways map[string]*hubapi.Gateway
	pairings map[string]*hubapi.Pairing
	hashes   map[string][]byte
	// tokens are those that a test has looked at, by their gateways: what is paired with them vouches for its key.
	tokens map[string]hubapi.PairingToken
	// onPair is called with each token's pairing, when it was announced.
	onPair func(g *hubapi.Gateway)
	inUse  string
	// program is the digest of what the hub serves.
	program string
	custody hubapi.Custody
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{
		t: t, gateways: map[string]*hubapi.Gateway{}, pairings: map[string]*hubapi.Pairing{}, hashes: map[string][]byte{},
		tokens: map[string]hubapi.PairingToken{},
	}
	server := httptest.NewServer(h.handler())
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func factories() map[string]func() (tfprotov6.ProviderServer, error) {
	return map[string]func() (tfprotov6.ProviderServer, error){
		"palette": providerserver.NewProtocol6WithError(provider.New("test", nil)()),
	}
}

func (h *fakeHub) providerConfig() string {
	return fmt.Sprintf("provider \"palette\" { endpoint = %q }\n", h.url)
}

const gatewaysPath = "/v1/projects/default/gateways"

func (h *fakeHub) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			h.mu.Lock()
			defer h.mu.Unlock()
			v, err := answer(r)
			if err != nil {
				hubapi.WriteProblem(w, hubapi.AsProblem(err))
				return
			}
			hubapi.WriteJSON(w, http.StatusOK, v)
		})
	}
	handle("GET "+gatewaysPath, h.list)
	handle("GET "+gatewaysPath+"/{id}", func(r *http.Request) (any, error) { return h.get(r.PathValue("id")) })
	handle("PUT "+gatewaysPath+"/{id}", h.put)
	handle("DELETE "+gatewaysPath+"/{id}", h.remove)
	handle("PUT "+gatewaysPath+"/{id}/pairings/{pairing}", h.pair)
	handle("GET "+hubapi.PathDownloads, func(*http.Request) (any, error) {
		return hubapi.Downloads{Gateway: hubapi.Download{SHA256: h.program}}, nil
	})
	handle("GET "+gatewaysPath+"/{id}/custody", func(*http.Request) (any, error) { return h.custody, nil })
	handle("PUT "+gatewaysPath+"/{id}/custody", func(r *http.Request) (any, error) {
		if len(h.custody.Key) > 0 {
			return h.custody, nil
		}
		return h.custody, hubapi.ReadJSON(httptest.NewRecorder(), r, &h.custody)
	})
	handle("DELETE "+gatewaysPath+"/{id}/replicas/{replica}", func(r *http.Request) (any, error) {
		g, err := h.get(r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		g.Status.Replicas = slices.DeleteFunc(g.Status.Replicas, func(replica hubapi.GatewayReplica) bool {
			return replica.ID == r.PathValue("replica")
		})
		return struct{}{}, nil
	})
	return mux
}

func (h *fakeHub) list(r *http.Request) (any, error) {
	list := hubapi.List[hubapi.Gateway]{Items: []hubapi.Gateway{}}
	for _, g := range h.gateways {
		if name := r.URL.Query().Get("name"); name == "" || name == g.Name {
			list.Items = append(list.Items, *g)
		}
	}
	return list, nil
}

func (h *fakeHub) get(id string) (*hubapi.Gateway, error) {
	for _, g := range h.gateways {
		if g.ID == id || g.System && id == hubapi.SystemGatewayID {
			return g, nil
		}
	}
	return nil, hubapi.NewProblem(hubapi.CodeNotFound, "there is no gateway %s", id)
}

func (h *fakeHub) put(r *http.Request) (any, error) {
	var write hubapi.GatewayWrite
	if err := hubapi.ReadJSON(httptest.NewRecorder(), r, &write); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	for _, g := range h.gateways {
		if g.Name == write.Name && g.ID != id {
			return nil, hubapi.NewProblem(hubapi.CodeAlreadyExists, "gateway %q exists", g.Name)
		}
	}
	g, err := h.get(id)
	if err != nil {
		g = &hubapi.Gateway{Meta: hubapi.Meta{ID: id}, Status: hubapi.GatewayStatus{State: hubapi.GatewayPending}}
		h.gateways[id] = g
	}
	g.Name, g.Spec = write.Name, write.Spec
	return g, nil
}

func (h *fakeHub) remove(r *http.Request) (any, error) {
	g, err := h.get(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if h.inUse != "" {
		return nil, hubapi.NewProblem(hubapi.CodeInUse, "gateway %q is used by %s", g.Name, h.inUse)
	}
	if !r.URL.Query().Has(hubapi.QueryDryRun) {
		delete(h.gateways, g.ID)
	}
	return struct{}{}, nil
}

func (h *fakeHub) pair(r *http.Request) (any, error) {
	var write hubapi.PairingWrite
	if err := hubapi.ReadJSON(httptest.NewRecorder(), r, &write); err != nil {
		return nil, err
	}
	g, err := h.get(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	pin := sha256.Sum256([]byte("authority"))
	p := &hubapi.Pairing{
		ID: r.PathValue("pairing"), GatewayID: g.ID, Pin: pin[:],
		ExpiresAt: time.Now().Add(time.Duration(write.TTLSeconds) * time.Second),
	}
	h.pairings[p.ID], h.hashes[p.ID] = p, write.SecretHash
	if h.onPair != nil {
		h.onPair(g)
	}
	return p, nil
}

// named returns a gateway; the caller holds mu.
func (h *fakeHub) named(name string) *hubapi.Gateway {
	for _, g := range h.gateways {
		if g.Name == name {
			return g
		}
	}
	h.t.Fatalf("there is no gateway %q", name)
	return nil
}

// connect has a replica of the gateway come online.
func (h *fakeHub) connect(name, replica string, holder bool) {
	h.t.Helper()
	key, err := seal.NewPrivateKey()
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.named(name)
	if token, ok := h.tokens[g.ID]; ok && g.Status.PublicKey == "" {
		g.Status.Voucher = &hubapi.KeyVoucher{Pairing: token.ID, MAC: token.Vouch(key.PublicKey())}
	}
	connect(g, key, replica, holder)
}

func connect(g *hubapi.Gateway, key *seal.PrivateKey, replica string, holder bool) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	g.Status.State, g.Status.Version = hubapi.GatewayOnline, "1.2.3"
	if g.Status.PublicKey == "" {
		g.Status.PublicKey = base64.StdEncoding.EncodeToString(key.PublicKey())
	}
	g.Status.Replicas = append(g.Status.Replicas, hubapi.GatewayReplica{
		ID: uuid.NewString(), Name: replica, Version: "1.2.3", Holder: holder, PairedAt: now, ConnectedSince: &now,
	})
}

// setKey gives the gateway another key, as one that was made anew has it.
func (h *fakeHub) setKey(name string, key *seal.PrivateKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.named(name).Status.PublicKey = base64.StdEncoding.EncodeToString(key.PublicKey())
}

// forget removes a gateway behind Terraform's back.
func (h *fakeHub) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.gateways, h.named(name).ID)
}

// usable checks that the hub knows the secret of a token's text.
func (h *fakeHub) usable(text string) error {
	token, err := hubapi.ParsePairingToken(text)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	hash := sha256.Sum256(token.Secret)
	if !slices.Equal(h.hashes[token.ID], hash[:]) {
		return fmt.Errorf("the hub does not know token %s", token.ID)
	}
	h.tokens[token.Gateway] = token
	if strings.Contains(h.gateways[token.Gateway].Name, " ") {
		return fmt.Errorf("the token is for gateway %s", token.Gateway)
	}
	return nil
}
