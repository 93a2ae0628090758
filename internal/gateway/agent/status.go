package agent

import (
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway/policy"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/seal"
)

// Status is how a replica stands: nothing in it is secret.
type Status struct {
	Version string `json:"version"`
	Public  Public `json:"identity"`
	// Running is nil when no process answers for the data directory.
	Running *Running `json:"running,omitempty"`
}

// Public is what may be known of a replica's identity.
type Public struct {
	Gateway     string `json:"gateway"`
	GatewayName string `json:"gateway_name"`
	Project     string `json:"project"`
	Replica     string `json:"replica"`
	Name        string `json:"name"`
	Hub         string `json:"hub"`
	// Proxy tells that a proxy was given when the replica was paired.
	Proxy bool `json:"proxy,omitempty"`
	// Fingerprint is that of the gateway's sealing key.
	Fingerprint string `json:"fingerprint"`
	// Coming is that of a new key that the hub has not made the gateway's yet.
	Coming         string    `json:"coming,omitempty"`
	CertificateEnd time.Time `json:"certificate_end"`
}

// Running is how the process stands.
type Running struct {
	Since    time.Time      `json:"since"`
	Ready    bool           `json:"ready"`
	Sessions []SessionState `json:"sessions"`
	// Instances are those of the hub that are known.
	Instances []string `json:"instances,omitempty"`
	// Trouble is why the last dial failed, "" when it did not.
	Trouble string         `json:"trouble,omitempty"`
	Gateway gateway.State  `json:"gateway"`
	Policy  *policy.Policy `json:"policy"`
}

func (id identity) public() Public {
	p := Public{
		Gateway: id.Gateway, GatewayName: id.GatewayName, Project: id.Project, Replica: id.Replica, Name: id.Name,
		Hub: id.Hub, Proxy: id.Proxy != "",
	}
	if key, err := id.sealing(); err == nil {
		p.Fingerprint = seal.Fingerprint(key.PublicKey())
	}
	if len(id.Coming) > 0 {
		p.Coming = seal.Fingerprint(id.Coming[0].Rotation.To)
	}
	if cert, err := id.certificate(); err == nil {
		p.CertificateEnd = cert.Leaf.NotAfter
	}
	return p
}

func (a *agent) status() Status {
	h := a.current()
	r := &Running{Since: a.began.UTC(), Gateway: a.gateway.State(), Policy: a.cfg.Policy, Ready: a.ready()}
	r.Sessions, r.Instances, r.Trouble = h.state()
	return Status{Version: a.cfg.Version, Public: a.dir.identity().public(), Running: r}
}

// ready tells whether the hub can ask this replica.
func (a *agent) ready() bool {
	sessions, _ := a.current().connected()
	return sessions > 0
}
