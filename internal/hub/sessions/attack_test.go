package sessions_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// TestForgedCertificates: only what the hub's own authority has signed for a replica, as one, gets through.
func TestForgedCertificates(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	good := r.certificate()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(gatewayapi.ReplicaURI("default", g.ID, r.grant.Replica))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		URIs: []*url.URL{uri}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	forged, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	hubs, err := b.authority.Server()
	if err != nil {
		t.Fatal(err)
	}
	signed := func(id authority.ReplicaID) *tls.Certificate {
		der, _, err := b.authority.SignReplica(r.csr(r.tls), id)
		if err != nil {
			t.Fatal(err)
		}
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: r.tls}
	}
	for reason, certificate := range map[string]*tls.Certificate{
		"of another authority": {Certificate: [][]byte{forged}, PrivateKey: key},
		"the hub's own":        hubs,
		"none":                 nil,
		"with another's key":   {Certificate: good.Certificate, PrivateKey: key},
		"of another project":   signed(authority.ReplicaID{Project: "other", Gateway: g.ID, Replica: r.grant.Replica}),
		"of another gateway":   signed(authority.ReplicaID{Project: "default", Gateway: uuid.NewString(), Replica: r.grant.Replica}),
		"of no replica":        signed(authority.ReplicaID{Project: "default", Gateway: g.ID, Replica: uuid.NewString()}),
	} {
		config := i.inner(certificate)
		conn, err := tunnel.Dial(t.Context(), tunnel.DialConfig{
			URL: i.server.URL, Class: tunnel.ClassControl, OuterTLS: i.outer(), InnerTLS: config, Proxy: noProxy,
		})
		if err == nil {
			t.Errorf("a certificate %s is believed", reason)
			_ = conn.Close()
		}
	}
	if got, err := i.client.Gateway(t.Context(), g.ID); err != nil || got.Status.State != hubapi.GatewayOffline {
		t.Errorf("the gateway is %+v, %v", got.Status, err)
	}
}

// TestHostileGateway: whatever a gateway does to the hub, another one is served as before.
func TestHostileGateway(t *testing.T) {
	for reason, hostile := range map[string]func(r *replica){
		"a line without end": func(r *replica) {
			r.extra["GET "+gatewayapi.PathEvents] = func(w http.ResponseWriter, _ *http.Request) {
				block := bytes.Repeat([]byte("x"), 64<<10)
				for n := 0; n < 64<<20; n += len(block) {
					if _, err := w.Write(block); err != nil {
						return
					}
				}
			}
		},
		"binary reports": func(r *replica) {
			r.extra["GET "+gatewayapi.PathEvents] = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte("\x00\xff\xfe\n{\n"))
			}
		},
		"no answer to who it is": func(r *replica) {
			r.extra["GET "+gatewayapi.PathInfo] = func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
		},
		"another gateway's id": func(r *replica) {
			r.info = func() gatewayapi.Info { return gatewayapi.Info{ID: uuid.NewString()} }
		},
		"an endless answer": func(r *replica) {
			r.extra["GET "+gatewayapi.PathInfo] = func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"id":"`))
				block := bytes.Repeat([]byte("x"), 64<<10)
				for {
					if _, err := w.Write(block); err != nil {
						return
					}
				}
			}
		},
		"a redirect": func(r *replica) {
			r.extra["GET "+gatewayapi.PathInfo] = func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, "http://169.254.169.254/latest", http.StatusFound)
			}
		},
		"lies about how far it is": func(r *replica) {
			r.extra["GET "+gatewayapi.PathEvents] = func(w http.ResponseWriter, req *http.Request) {
				for _, report := range []gatewayapi.Report{
					{Boot: strings.Repeat("b", 1000), Seq: 1}, {Boot: "x", Seq: math.MaxInt64}, {Boot: "x", Seq: -1},
				} {
					_ = json.NewEncoder(w).Encode(report)
				}
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			}
		},
	} {
		t.Run(reason, func(t *testing.T) {
			b := newBench(t)
			i := b.instance("a")
			evil, good := i.gateway("evil"), i.gateway("good")
			r := newReplica(t).mustPair(i, evil.ID)
			hostile(r)
			r.mustConnect(i)
			other := newReplica(t).mustPair(i, good.ID)
			other.mustConnect(i)
			other.await("holder", 5*time.Second, other.holds)
			cluster := i.cluster("prod", i.account(good.ID).ID)
			other.report(said(cluster, "fine"))
			other.awaitAcked()
			if seen := i.messages(cluster.ID, "fine"); len(seen) != 1 {
				t.Errorf("kept %q", seen)
			}
		})
	}
}

// TestLogInjection: what a gateway calls itself cannot forge a line of the log, nor reach a terminal.
func TestLogInjection(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t)
	name := "host\n{\"level\":\"INFO\",\"msg\":\"forged\"}\x1b[31m" + strings.Repeat("n", 1000)
	r.before = func(e *gatewayapi.Enrolment) { e.Name = name }
	r.mustPair(i, g.ID)
	r.info = func() gatewayapi.Info {
		return gatewayapi.Info{ID: g.ID, PublicKey: r.sealing.PublicKey(), Version: "1\n\x1b[31m2"}
	}
	r.mustConnect(i)
	got := i.await(g.ID, "online", online)
	replica := got.Status.Replicas[0]
	for _, text := range []string{replica.Name, replica.Version, got.Status.Version} {
		if strings.ContainsAny(text, "\n\x1b") || len(text) > 128 {
			t.Errorf("it is kept as %q", text)
		}
	}
	if b.log.contains("\n{\"level\":\"INFO\",\"msg\":\"forged\"") || b.log.contains("\x1b") {
		t.Error("the log has been forged")
	}
}

// TestGuesser: an address that guesses is turned away for a while, and a gateway that is known is not.
func TestGuesser(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	guess := i.token(g.ID)
	barred := false
	for n := range 30 {
		guess.Secret = bytes.Repeat([]byte{byte(n)}, 32)
		if _, err := newReplica(t).pair(t.Context(), i, guess); err != nil {
			barred = true
			if n < 20 {
				t.Errorf("turned away after %d guesses: %v", n, err)
			}
		}
	}
	if !barred {
		t.Error("it may guess for ever")
	}
	r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
	b.clock.advance(2 * time.Minute)
	if refused, err := newReplica(t).pair(t.Context(), i, i.token(g.ID)); err != nil && refused == nil {
		t.Errorf("turned away for ever: %v", err)
	}
}

// TestRenewal: at half its life a certificate is replaced through the tunnel, which stays.
func TestRenewal(t *testing.T) {
	b := newBench(t)
	i := b.instance("a")
	g := i.gateway("site")
	r := newReplica(t).mustPair(i, g.ID)
	first := r.grant.Certificate
	b.clock.advance(13 * time.Hour)
	c := r.mustConnect(i)
	r.await("renewed", 5*time.Second, func() bool { return !bytes.Equal(first, r.grant.Certificate) })
	cert, err := x509.ParseCertificate(r.grant.Certificate)
	if err != nil || cert.NotAfter.Before(b.clock.now().Add(23*time.Hour)) {
		t.Errorf("the new certificate ends at %s, %v", cert.NotAfter, err)
	}
	select {
	case <-c.done:
		t.Error("the tunnel has ended")
	default:
	}
	r.mustConnect(i)
	r.await("holder", 5*time.Second, r.holds)
}

// TestClocksApart: a gateway whose clock is ten minutes off is paired, connected and given the lease as any other.
func TestClocksApart(t *testing.T) {
	for _, off := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		b := newBench(t)
		i := b.instance("a")
		g := i.gateway("site")
		b.clock.advance(off) // the hub's, and with it the authority's; the gateway's stays
		r := newReplica(t)
		r.apart = true
		r.mustPair(i, g.ID).mustConnect(i)
		r.await(fmt.Sprintf("holder, %s apart", off), 5*time.Second, r.holds)
	}
}
