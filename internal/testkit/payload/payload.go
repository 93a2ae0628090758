// Package payload owns what a guest makes of its guestinfo: it reads the documents as cloud-init and kubeadm would and
// refuses what they would refuse, and more: every field it does not know. It shares no code with whoever writes payloads,
// so that a mistake there is not repeated here. It is pure; the guests of testkit use it.
package payload

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrRefused says that a guest cannot boot with what it was given.
var ErrRefused = errors.New("refused")

// Part names what of a payload is refused.
type Part string

// The parts.
const (
	GuestInfo Part = "guestinfo"
	Metadata  Part = "metadata"
	UserData  Part = "user data"
	Image     Part = "image"
	Kubeadm   Part = "kubeadm"
	PKI       Part = "pki"
	KubeVIP   Part = "kube-vip"
)

// Refusal says what of a payload a guest cannot boot with, and why. It wraps ErrRefused.
type Refusal struct {
	Part Part
	Err  error
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %v", r.Part, r.Err) }

// Unwrap returns ErrRefused and the reason.
func (r *Refusal) Unwrap() []error { return []error{ErrRefused, r.Err} }

func refuse(part Part, format string, args ...any) error {
	return &Refusal{Part: part, Err: fmt.Errorf(format, args...)}
}

// Machine is what a guest finds when it looks at its own hardware.
type Machine struct {
	Name         string
	InstanceUUID string
	// MACs are those of the network cards, in order.
	MACs []string
	// KubernetesVersion is that of the kubeadm in the image, such as v1.34.1; "" means there is none.
	KubernetesVersion string
}

// Mode says how a node enters its cluster.
type Mode string

// The modes.
const (
	Init             Mode = "init"
	JoinControlPlane Mode = "join-control-plane"
	JoinWorker       Mode = "join-worker"
)

// Payload is what a guest has understood.
type Payload struct {
	Mode Mode
	// NodeName is the name the node registers with.
	NodeName string
	Version  string
	// Endpoint is the host:port of the cluster's API server.
	Endpoint string
	Cards    []Card
	// Redact are the guestinfo keys, without prefix, to overwrite once they are read.
	Redact []string
	Labels map[string]string
	// Taints are written "key=value:effect"; DefaultTaints tells that kubeadm chooses them.
	Taints        []string
	DefaultTaints bool
	// CAHash is the pin of the cluster's CA: of the CA a control plane brings along, and of the CA a join expects.
	CAHash string
	// Tokens are the bootstrap tokens an init creates, with how long they live; 0 means for ever.
	Tokens map[string]time.Duration
	// JoinToken is the bootstrap token a join uses.
	JoinToken string
}

// Card is one network card as configured.
type Card struct {
	// Index is that of the card in Machine.MACs.
	Index int
	// Addresses are static, with prefix length; DHCP4 and DHCP6 ask for others.
	Addresses    []string
	DHCP4, DHCP6 bool
}

// Read reads guestinfo values, keyed as in extraConfig.
func Read(values map[string]string, machine Machine) (*Payload, error) {
	meta, err := decoded(values, "guestinfo.metadata", "base64")
	if err != nil {
		return nil, err
	}
	user, err := decoded(values, "guestinfo.userdata", "base64", "gzip+base64")
	if err != nil {
		return nil, err
	}
	p := &Payload{}
	if err := p.readMetadata(meta, machine); err != nil {
		return nil, err
	}
	config, err := readCloudConfig(user)
	if err != nil {
		return nil, err
	}
	if err := config.checkVersions(machine.KubernetesVersion); err != nil {
		return nil, err
	}
	if err := p.readKubeadm(config, machine); err != nil {
		return nil, err
	}
	if p.NodeName != machine.Name {
		return nil, refuse(Kubeadm, "node name %q is not the machine's name %q", p.NodeName, machine.Name)
	}
	if p.Mode == JoinWorker {
		return p, nil
	}
	if err := p.readPKI(config); err != nil {
		return nil, err
	}
	return p, p.checkKubeVIP(config)
}

// host is the host of a host:port.
func host(endpoint string) string {
	at := strings.LastIndex(endpoint, ":")
	if at < 0 {
		return endpoint
	}
	return strings.Trim(endpoint[:at], "[]")
}
