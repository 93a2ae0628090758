package service_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/service"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit/hubtest"
)

// slowGateway is a gateway beside the hub that takes its time to verify an account, and has nothing to report.
type slowGateway struct {
	asked, answer chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (g slowGateway) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != gatewayapi.PathVerifyAccount {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	close(g.asked)
	<-g.answer
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"vcenter_version":"8.0.3","instance_uuid":"x"}`)),
	}, nil
}

// TestShutdownAnswersWhatWasAsked: a request that is being worked on when the hub is told to go is answered.
func TestShutdownAnswersWhatWasAsked(t *testing.T) {
	gateway := slowGateway{asked: make(chan struct{}), answer: make(chan struct{})}
	id := uuid.NewString()
	var log lockedBuffer
	h := hubtest.Start(t, func(c *service.Config) {
		c.System = &service.System{ID: id, Transport: gateway}
		c.Log = debugLog(&log)
	})
	client := h.Client("prod", hubapi.RoleEditor)
	kept := make(chan error, 1)
	go func() {
		_, err := client.PutCloudAccount(t.Context(), uuid.NewString(), hubapi.CloudAccountWrite{
			Name: "a", SealedPassword: []byte("x"),
			Spec: hubapi.CloudAccountSpec{GatewayID: id, VCenter: "vc.example.com", Username: "u"},
		}, hubapi.WriteOptions{Create: true})
		kept <- err
	}()
	<-gateway.asked
	stopped := make(chan struct{})
	go func() { h.Stop(); close(stopped) }()
	for range 100 {
		// The answer comes after the listener has gone: nobody else is let in any more.
		conn, err := http.Get("http://" + h.Addresses.Hub)
		if err != nil && strings.Contains(err.Error(), "refused") {
			break
		}
		if err == nil {
			_ = conn.Body.Close()
		}
	}
	close(gateway.answer)
	if err := <-kept; err != nil {
		t.Errorf("what was asked before was not answered: %v", err)
	}
	<-stopped
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if strings.Contains(log.String(), "cut off") {
		t.Errorf("requests were cut off: %s", log.String())
	}
}
