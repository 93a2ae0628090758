package gatewayapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type toHandler struct{ handler http.Handler }

func (t toHandler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

func TestCalls(t *testing.T) {
	var asked []string
	c := gatewayapi.NewClient(toHandler{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get(hubapi.HeaderRequestID))
		hubapi.WriteJSON(w, http.StatusOK, struct{}{})
	})})
	ctx := hubapi.WithRequestID(t.Context(), "r1")
	_, infoErr := c.Info(ctx)
	_, verifyErr := c.VerifyAccount(ctx, gatewayapi.Account{})
	_, inventoryErr := c.Inventory(ctx, gatewayapi.InventoryRequest{})
	_, previewErr := c.Preview(ctx, gatewayapi.Assignment{})
	_, observeErr := c.Observe(ctx, gatewayapi.Assignment{})
	err := errors.Join(infoErr, verifyErr, inventoryErr, previewErr, observeErr,
		c.Assign(ctx, gatewayapi.Assignment{}), c.Ack(ctx, gatewayapi.Ack{}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /v1/info r1", "POST /v1/accounts/verify r1", "POST /v1/inventory r1", "POST /v1/clusters/preview r1",
		"POST /v1/clusters/observe r1", "POST /v1/clusters/assign r1", "POST /v1/ack r1",
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestErrors(t *testing.T) {
	busy := gatewayapi.NewClient(toHandler{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hubapi.WriteProblem(w, hubapi.NewProblem(hubapi.CodeBusy, "at it"))
	})})
	if err := busy.Assign(t.Context(), gatewayapi.Assignment{}); !errors.Is(err, hubapi.ErrBusy) || hubapi.LostConnection(err) {
		t.Errorf("a refusal: %v", err)
	}
	cut := gatewayapi.NewClient(toHandler{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id":`))
	})})
	if _, err := cut.Info(t.Context()); !hubapi.LostConnection(err) {
		t.Errorf("an answer that is cut off: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gatewayapi.NewClient(http.DefaultTransport).Info(ctx); !errors.Is(err, context.Canceled) || hubapi.LostConnection(err) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestEvents(t *testing.T) {
	var query string
	c := gatewayapi.NewClient(toHandler{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		_, _ = w.Write([]byte("\n{\"seq\":3,\"boot\":\"b\"}\n\n{\"seq\":4,\"boot\":\"b\"}\n"))
	})})
	var seen []int64
	err := c.Events(t.Context(), "b&c", 2, func(r gatewayapi.Report) error { seen = append(seen, r.Seq); return nil })
	if !errors.Is(err, io.ErrUnexpectedEOF) || query != "after=2&boot=b%26c" {
		t.Errorf("the end of the stream: %v, asked %s", err, query)
	}
	if diff := cmp.Diff([]int64{3, 4}, seen); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	mine := errors.New("mine")
	if err := c.Events(t.Context(), "", 0, func(gatewayapi.Report) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("the function's error: %v", err)
	}
}
