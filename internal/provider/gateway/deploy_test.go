package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-testing/helper/resource"
	"github.com/hashicorp/terraform-plugin-testing/knownvalue"
	"github.com/hashicorp/terraform-plugin-testing/statecheck"
	"github.com/hashicorp/terraform-plugin-testing/tfjsonpath"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/provider/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

var pairingToken = regexp.MustCompile(`palette-pairing-1\.\S+`)

// fakeDeployer makes VMs that are online at once.
type fakeDeployer struct {
	hub *fakeHub
	key *seal.PrivateKey

	mu    sync.Mutex
	calls []string
	fail  error
}

func (d *fakeDeployer) Apply(
	ctx context.Context, want gateway.Deployment, replicas gateway.DeployedReplicas,
) ([]gateway.DeployedMachine, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, fmt.Sprintf("apply %s as %s with %s", want.VCenter, want.Username, want.Password))
	if d.fail != nil {
		return nil, d.fail
	}
	name := want.Name + "-gw-0"
	if !replicas.Joined(name) {
		text, err := replicas.UserData(ctx, name)
		if err != nil {
			return nil, err
		}
		token, err := hubapi.ParsePairingToken(pairingToken.FindString(text))
		if err != nil {
			return nil, err
		}
		d.hub.mu.Lock()
		g := d.hub.named(want.Name)
		g.Status.Voucher = &hubapi.KeyVoucher{Pairing: token.ID, MAC: token.Vouch(d.key.PublicKey())}
		connect(g, d.key, name, true)
		d.hub.mu.Unlock()
	}
	return []gateway.DeployedMachine{{Name: name, Moid: "vm-1"}}, replicas.AwaitOnline(ctx, name, false)
}

func (d *fakeDeployer) Destroy(_ context.Context, want gateway.Deployment, _ func(context.Context, string)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, fmt.Sprintf("destroy %s as %s with %s", want.VCenter, want.Username, want.Password))
	return d.fail
}

// said returns the calls since the last time.
func (d *fakeDeployer) said() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := d.calls
	d.calls = nil
	return calls
}

// TestAccDeployments checks when the VMs of an appliance are looked after, and with which password.
func TestAccDeployments(t *testing.T) {
	t.Parallel()
	hub := newFakeHub(t)
	hub.program = "first"
	key, err := seal.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	deployer := &fakeDeployer{hub: hub, key: key}
	config := func(password, version, cpu string) string {
		return hub.config(fmt.Sprintf(`appliance = {
    vcenter = "vc.example", username = "u", password_wo = %s, password_wo_version = %s, cpu = %s
    datacenter = "dc", compute_cluster = "c", datastore = "d", network = "n", template = "t"
  }`, password, version, cpu))
	}
	said := func(want ...string) func() {
		return func() {
			if diff := cmp.Diff(want, deployer.said()); diff != "" {
				t.Errorf("calls of the deployer (-want +got):\n%s", diff)
			}
		}
	}
	const apply, destroy = "apply vc.example as u with ", "destroy vc.example as u with "
	resource.UnitTest(t, resource.TestCase{
		ProtoV6ProviderFactories: map[string]func() (tfprotov6.ProviderServer, error){
			"palette": providerserver.NewProtocol6WithError(provider.New("test", nil, provider.WithDeployer(deployer))()),
		},
		Steps: []resource.TestStep{
			{
				PreConfig: func() { deployer.fail = &gateway.NothingMadeError{Err: errors.New("not let in")} },
				Config:    config(`"wrong"`, "1", "2"), ExpectError: regexp.MustCompile(`(?s)Unable to Deploy Appliance.*not\s+let\s+in`),
			},
			// Nothing was made, so nothing is destroyed with a password that is wrong.
			{
				PreConfig: func() { deployer.fail = nil; said(apply + "wrong")() },
				Config:    config(`"secret"`, "1", "2"),
				ConfigStateChecks: []statecheck.StateCheck{
					value("machines", knownvalue.ListSizeExact(1)), value("status", knownvalue.StringExact("online")),
					statecheck.ExpectSensitiveValue(address, tfjsonpath.New("appliance_access")),
				},
			},
			{PreConfig: said(apply + "secret"), Config: config(`"secret"`, "1", "2"), ConfigPlanChecks: nothing},
			// A change without a password takes the one that was kept.
			{PreConfig: said(), Config: config("null", "1", "4"), ConfigPlanChecks: updated},
			{PreConfig: said(apply + "secret"), Config: config("null", "2", "4"), ExpectError: regexp.MustCompile(`Missing Password`)},
			{PreConfig: said(), Config: config(`"newer"`, "2", "4"), ConfigPlanChecks: updated},
			// Another program of the hub is another VM.
			{
				PreConfig: func() {
					said(apply + "newer")()
					hub.mu.Lock()
					defer hub.mu.Unlock()
					hub.program = "second"
				},
				Config: config(`"newer"`, "2", "4"), ConfigPlanChecks: updated,
			},
			// Who goes on using the gateway keeps its VMs.
			{
				PreConfig: func() { said(apply + "newer")(); hub.inUse = `cloud account "lab"` },
				Config:    hub.providerConfig(), ExpectError: regexp.MustCompile(`(?s)Unable to Delete Gateway.*in_use`),
			},
			{PreConfig: func() { said()(); hub.inUse = "" }, Config: hub.config(), ConfigPlanChecks: updated},
			{PreConfig: said(destroy + "newer"), Config: config(`"newer"`, "3", "4"), ConfigPlanChecks: updated},
			{PreConfig: said(apply + "newer"), Config: hub.providerConfig()},
		},
	})
	said(destroy + "newer")()
}
