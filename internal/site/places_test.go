package site_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

// TestSitePrivateNetwork applies from outside to a vCenter that nothing outside can reach, and cuts the only way there is in
// the middle of it.
func TestSitePrivateNetwork(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	site.NeedPlaces(t)
	privateNetwork(t, 5*time.Second)
}

// TestSiteLongNetworkCut has the way cut for two minutes: everybody has noticed by then.
func TestSiteLongNetworkCut(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	site.NeedPlaces(t)
	privateNetwork(t, 2*time.Minute)
}

func privateNetwork(t *testing.T, cut time.Duration) {
	t.Helper()
	s := withGateway(t, site.Options{VCenter: unhurried, Places: true})
	for _, from := range []string{"outside", "hub"} {
		if err := s.Dial(from, s.VCenterHost); err == nil {
			t.Errorf("the vCenter can be dialled from %s", from)
		}
	}
	for _, address := range []string{"198.51.100.2:443", "198.51.100.2:9400"} {
		if err := s.Dial("hub", address); err == nil {
			t.Errorf("the hub can dial the gateway at %s", address)
		}
	}
	if err := s.Dial("private", strings.TrimPrefix(s.Endpoint(), "https://")+":443"); err != nil {
		t.Errorf("the gateway's side cannot dial the hub: %v", err)
	}
	if err := s.Dial("private", s.VCenterHost); err != nil {
		t.Errorf("the gateway's side cannot dial the vCenter: %v", err)
	}
	strikeDuringApply(t, s, fault{
		reason: "the gateway goes on alone, and the apply ends when the way is back",
		strike: func(s *site.Site) { s.CutUplink() },
		lasts:  cut,
		mend:   func(s *site.Site) { s.RestoreUplink() },
	})
}

// noticeLimit is how long both sides may take a silent path for a good one.
const noticeLimit = 25*time.Second + noticeSlack

// noticeSlack is for a machine that has other things to do.
const noticeSlack = 2 * time.Second

// TestSiteLongSilentPath drops every packet between gateway and hub, without a reset, and measures how long it takes both
// of them to notice, and to come together again.
func TestSiteLongSilentPath(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	site.NeedPlaces(t)
	s := withGateway(t, site.Options{Places: true})
	s.CutUplink()
	began := time.Now()
	site.Eventually(t, noticeLimit, "the hub notices", func() error {
		if state := s.Gateway().Status.State; state != hubapi.GatewayOffline {
			return fmt.Errorf("the gateway is %s", state)
		}
		return nil
	})
	s.Took("the hub noticed", began)
	site.Eventually(t, noticeLimit-time.Since(began), "the gateway notices", func() error {
		if _, err := s.Replicas[0].Get("/readyz"); err == nil {
			return errors.New("it says that it is ready")
		}
		return nil
	})
	s.Took("the gateway noticed", began)
	s.RestoreUplink()
	t.Logf("connected again after %s", s.AwaitConnected(s.Replicas[0]))
}
