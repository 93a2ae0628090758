package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// enrolLimit bounds an enrolment, from the dial to the identity on disk. A hub may ask another replica in between.
const enrolLimit = time.Minute

// applicant is a process that asks for an identity. The hub asks who it is, and either grants or refuses.
type applicant struct {
	// fill completes an enrolment with its proof.
	fill func(*gatewayapi.Enrolment)
	// take checks a grant and keeps it.
	take   func(gatewayapi.Grant) (gatewayapi.Taken, error)
	signer ed25519.PrivateKey
	blank  gatewayapi.Enrolment

	exporter []byte
	mu       sync.Mutex
	asked    bool
	taken    bool
	err      error
	over     chan struct{} // closed when the hub has refused, or the grant was no good
}

// way is how an applicant reaches the hub.
type way struct {
	url   string
	dial  dialer
	inner *tls.Config
}

// begun tells whether the hub has been told who the applicant is, and decided whether it has granted or refused.
func (a *applicant) begun() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func (a *applicant) decided() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.taken || a.err != nil
}

// enrol asks the hub for an identity and returns when it is on disk, or why not.
func (a *applicant) enrol(ctx context.Context, w way) error {
	ctx, cancel := context.WithTimeout(ctx, enrolLimit)
	defer cancel()
	conn, err := w.dial.dial(ctx, w.url, tunnel.ClassEnrol, w.inner, nil)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	state := conn.ConnectionState()
	if a.exporter, err = state.ExportKeyingMaterial(gatewayapi.ExporterLabel, nil, 32); err != nil {
		return fmt.Errorf("binding the enrolment to the connection: %w", err)
	}
	a.over = make(chan struct{})
	serving, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- conn.Serve(serving, a.handler()) }()
	select {
	case err = <-served:
	case <-a.over:
		stop() // The hub is answered first.
		err = <-served
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.err != nil:
		return a.err
	case a.taken:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the hub has not answered the enrolment: %w", ctx.Err())
	case err != nil:
		return fmt.Errorf("the connection ended before the hub answered the enrolment: %w", err)
	}
	return errors.New("the connection ended before the hub answered the enrolment")
}

func (a *applicant) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+gatewayapi.PathEnrol, answering(a.answer))
	mux.HandleFunc("POST "+gatewayapi.PathIdentity, answering(a.granted))
	mux.HandleFunc("POST "+gatewayapi.PathRefusal, answering(a.refused))
	return mux
}

// answer says who the applicant is, once.
func (a *applicant) answer(_ context.Context, c gatewayapi.EnrolChallenge) (gatewayapi.Enrolment, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked || len(c.Nonce) < 16 || len(c.Nonce) > 64 {
		return gatewayapi.Enrolment{}, hubapi.NewProblem(hubapi.CodeInvalid, "a gateway is asked once who it is, with a nonce of 16 to 64 bytes")
	}
	a.asked = true
	e := a.blank
	e.IdentityKey, _ = a.signer.Public().(ed25519.PublicKey)
	a.fill(&e)
	e.Signature = ed25519.Sign(a.signer, e.Transcript(c.Nonce, a.exporter))
	return e, nil
}

func (a *applicant) granted(_ context.Context, g gatewayapi.Grant) (gatewayapi.Taken, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked || a.taken || a.err != nil {
		return gatewayapi.Taken{}, hubapi.NewProblem(hubapi.CodeInvalid, "the gateway has not asked for an identity")
	}
	taken, err := a.take(g)
	if err != nil {
		a.end(err)
		return gatewayapi.Taken{}, hubapi.NewProblem(hubapi.CodeUntrusted, "the gateway does not take this identity: %s", err)
	}
	a.taken = true
	return taken, nil
}

// refused takes the hub's reason. A hub that refuses after it has granted takes the grant back.
func (a *applicant) refused(_ context.Context, p hubapi.Problem) (struct{}, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = false
	a.end(&RefusedError{Problem: p})
	return struct{}{}, nil
}

func (a *applicant) end(err error) {
	if a.err == nil {
		a.err = err
		close(a.over)
	}
}

// RefusedError is the hub's refusal of a pairing or a rejoin.
type RefusedError struct{ Problem hubapi.Problem }

// Error implements error.
func (e *RefusedError) Error() string {
	text := "the hub refuses: " + e.Problem.Detail
	if e.Problem.Hint != "" {
		text += ". " + e.Problem.Hint
	}
	return printable(text)
}

// answering turns a function from request to answer into a handler. Errors become problem documents.
func answering[Req, Resp any](answer func(context.Context, Req) (Resp, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request Req
		err := hubapi.ReadJSON(w, r, &request)
		if err == nil {
			var response Resp
			if response, err = answer(r.Context(), request); err == nil {
				hubapi.WriteJSON(w, http.StatusOK, response)
				return
			}
		}
		hubapi.WriteProblem(w, hubapi.AsProblem(err))
	}
}
