package site_test

import (
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/site"
)

// TestSiteExample applies examples/remote as it stands: the gateway, then, paired by hand with the token that Terraform
// shows, the cluster.
func TestSiteExample(t *testing.T) {
	t.Parallel() // Most of it is waiting for processes.
	s := site.New(t, site.Options{VCenter: unhurried, Bare: true})
	gateway := s.NewExample("../../examples/remote/gateway")
	gateway.Apply()
	paired := s.Pair("gateway-1", gateway.Output("pairing_token"))
	paired.Start()

	cluster := s.NewExample("../../examples/remote/cluster")
	for name, value := range map[string]string{
		"vcenter": s.VCenterHost, "vcenter_username": s.VCenter.Username(), "vcenter_ca_file": s.VCenterCAFile(),
	} {
		cluster.Setenv("TF_VAR_"+name, value)
	}
	began := time.Now()
	cluster.Settled("the example", cluster.StartApply())
	s.Took("apply and plan of the example", began)
	if found, err := s.Client.ClusterByName(t.Context(), "remote"); err != nil || found.Status.Phase != hubapi.PhaseReady {
		t.Errorf("the example's cluster: %+v, %v", found, err)
	}
	cluster.Destroy()
	if left := s.Left(); len(left) > 0 {
		t.Errorf("the destroy left %q", left)
	}
	paired.Kill()
	gateway.Destroy()
}
