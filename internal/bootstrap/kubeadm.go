package bootstrap

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

const (
	criSocket = "unix:///run/containerd/containerd.sock"
	// patience is longer than kubeadm's own minutes: first boots pull images and share storage with their siblings.
	patience = "10m0s"
)

// kubeadmInit and the types below hold the fields of kubeadm's documents that are used here, in both versions of its
// API.
type kubeadmInit struct {
	APIVersion       string           `json:"apiVersion"`
	Kind             string           `json:"kind"`
	BootstrapTokens  []bootstrapToken `json:"bootstrapTokens"`
	LocalAPIEndpoint apiEndpoint      `json:"localAPIEndpoint"`
	NodeRegistration nodeRegistration `json:"nodeRegistration"`
	// Timeouts exist from v1beta4 on.
	Timeouts *timeouts `json:"timeouts,omitempty"`
}

type kubeadmCluster struct {
	APIVersion           string `json:"apiVersion"`
	Kind                 string `json:"kind"`
	ClusterName          string `json:"clusterName"`
	KubernetesVersion    string `json:"kubernetesVersion"`
	ControlPlaneEndpoint string `json:"controlPlaneEndpoint"`
	// EncryptionAlgorithm exists from v1beta4 on.
	EncryptionAlgorithm string          `json:"encryptionAlgorithm,omitempty"`
	FeatureGates        map[string]bool `json:"featureGates,omitempty"`
	Networking          networking      `json:"networking"`
	APIServer           apiServer       `json:"apiServer"`
	ControllerManager   component       `json:"controllerManager"`
}

type kubeadmJoin struct {
	APIVersion       string            `json:"apiVersion"`
	Kind             string            `json:"kind"`
	Discovery        discovery         `json:"discovery"`
	ControlPlane     *joinControlPlane `json:"controlPlane,omitempty"`
	NodeRegistration nodeRegistration  `json:"nodeRegistration"`
	Timeouts         *timeouts         `json:"timeouts,omitempty"`
}

type bootstrapToken struct {
	Token       string   `json:"token"`
	TTL         string   `json:"ttl"`
	Description string   `json:"description"`
	Usages      []string `json:"usages"`
	Groups      []string `json:"groups"`
}

type apiEndpoint struct {
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`
	BindPort         int    `json:"bindPort"`
}

type nodeRegistration struct {
	Name      string `json:"name"`
	CRISocket string `json:"criSocket"`
	// Taints are left to kubeadm when nil.
	Taints           []cluster.Taint `json:"taints,omitempty"`
	KubeletExtraArgs extraArgs       `json:"kubeletExtraArgs"`
}

type networking struct {
	PodSubnet     string `json:"podSubnet,omitempty"`
	ServiceSubnet string `json:"serviceSubnet,omitempty"`
	DNSDomain     string `json:"dnsDomain,omitempty"`
}

type apiServer struct {
	CertSANs []string `json:"certSANs"`
	// TimeoutForControlPlane exists in v1beta3 only.
	TimeoutForControlPlane string `json:"timeoutForControlPlane,omitempty"`
}

type component struct {
	ExtraArgs extraArgs `json:"extraArgs"`
}

type discovery struct {
	BootstrapToken tokenDiscovery `json:"bootstrapToken"`
	// Timeout exists in v1beta3 only.
	Timeout string `json:"timeout,omitempty"`
}

type tokenDiscovery struct {
	Token             string   `json:"token"`
	APIServerEndpoint string   `json:"apiServerEndpoint"`
	CACertHashes      []string `json:"caCertHashes"`
}

type joinControlPlane struct {
	LocalAPIEndpoint apiEndpoint `json:"localAPIEndpoint"`
}

type timeouts struct {
	ControlPlaneComponentHealthCheck string `json:"controlPlaneComponentHealthCheck"`
	Discovery                        string `json:"discovery"`
	EtcdAPICall                      string `json:"etcdAPICall"`
	KubeletHealthCheck               string `json:"kubeletHealthCheck"`
	KubernetesAPICall                string `json:"kubernetesAPICall"`
	TLSBootstrap                     string `json:"tlsBootstrap"`
	UpgradeManifests                 string `json:"upgradeManifests"`
}

// extraArgs is a map in v1beta3 and a list of named values from v1beta4 on.
type extraArgs any

type arg struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// modern tells that the machine's kubeadm is configured in v1beta4.
func (p plan) modern() bool { return p.version.atLeast(1, 31) }

func (p plan) apiVersion() string {
	if p.modern() {
		return "kubeadm.k8s.io/v1beta4"
	}
	return "kubeadm.k8s.io/v1beta3"
}

func (p plan) extraArgs(args ...arg) extraArgs {
	if p.modern() {
		return args
	}
	byName := make(map[string]string, len(args))
	for _, a := range args {
		byName[a.Name] = a.Value
	}
	return byName
}

// kubeadmConfig returns the documents kubeadm init or kubeadm join is run with.
func kubeadmConfig(p plan, s Secrets) ([]byte, error) {
	var documents []any
	if p.Join == cluster.JoinInit {
		documents = []any{p.kubeadmInit(s), p.kubeadmCluster()}
	} else {
		documents = []any{p.kubeadmJoin(s)}
	}
	parts := make([][]byte, 0, len(documents))
	for _, d := range documents {
		part, err := yaml.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("encoding kubeadm configuration: %w", err)
		}
		parts = append(parts, part)
	}
	return bytes.Join(parts, []byte("---\n")), nil
}

func (p plan) kubeadmInit(s Secrets) kubeadmInit {
	return kubeadmInit{
		APIVersion: p.apiVersion(), Kind: "InitConfiguration",
		BootstrapTokens: []bootstrapToken{{
			Token:       s.Token,
			TTL:         "0s", // never expires
			Description: "joins machines of the cluster " + p.ClusterName,
			Usages:      []string{"signing", "authentication"},
			Groups:      []string{"system:bootstrappers:kubeadm:default-node-token"},
		}},
		LocalAPIEndpoint: p.apiEndpoint(),
		NodeRegistration: p.nodeRegistration(),
		Timeouts:         p.timeouts(),
	}
}

func (p plan) kubeadmCluster() kubeadmCluster {
	c := kubeadmCluster{
		APIVersion: p.apiVersion(), Kind: "ClusterConfiguration",
		ClusterName:          p.ClusterName,
		KubernetesVersion:    p.KubernetesVersion,
		ControlPlaneEndpoint: p.endpoint(),
		Networking: networking{
			PodSubnet: p.Network.PodCIDR, ServiceSubnet: p.Network.ServiceCIDR, DNSDomain: p.Network.DNSDomain,
		},
		APIServer:         apiServer{CertSANs: []string{p.Endpoint.Host}},
		ControllerManager: component{ExtraArgs: p.extraArgs(arg{"cloud-provider", "external"})},
	}
	if !p.modern() {
		c.APIServer.TimeoutForControlPlane = patience
		return c
	}
	c.EncryptionAlgorithm = "ECDSA-P256"
	if !p.version.atLeast(1, 36) {
		// A joining control plane's kubelet must not need the endpoint that it is about to serve. From 1.36 on this is
		// always so, and the gate may not be named.
		c.FeatureGates = map[string]bool{"ControlPlaneKubeletLocalMode": true}
	}
	return c
}

func (p plan) kubeadmJoin(s Secrets) kubeadmJoin {
	j := kubeadmJoin{
		APIVersion: p.apiVersion(), Kind: "JoinConfiguration",
		Discovery: discovery{BootstrapToken: tokenDiscovery{
			Token: s.Token, APIServerEndpoint: p.endpoint(), CACertHashes: []string{s.CACertHash()},
		}},
		NodeRegistration: p.nodeRegistration(),
		Timeouts:         p.timeouts(),
	}
	if !p.modern() {
		j.Discovery.Timeout = patience
	}
	if p.controlPlane() {
		j.ControlPlane = &joinControlPlane{LocalAPIEndpoint: p.apiEndpoint()}
	}
	return j
}

func (p plan) timeouts() *timeouts {
	if !p.modern() {
		return nil
	}
	return &timeouts{
		ControlPlaneComponentHealthCheck: patience,
		Discovery:                        patience,
		EtcdAPICall:                      patience,
		KubeletHealthCheck:               patience,
		KubernetesAPICall:                "3m0s",
		TLSBootstrap:                     patience,
		UpgradeManifests:                 patience,
	}
}

func (p plan) nodeRegistration() nodeRegistration {
	args := []arg{{"cloud-provider", "external"}}
	if ip := p.nodeIP(); ip != "" {
		args = append(args, arg{"node-ip", ip})
	}
	if labels := nodeLabels(p.Node.Labels); labels != "" {
		args = append(args, arg{"node-labels", labels})
	}
	return nodeRegistration{
		Name: p.Name, CRISocket: criSocket, Taints: p.nodeTaints(), KubeletExtraArgs: p.extraArgs(args...),
	}
}

func (p plan) apiEndpoint() apiEndpoint {
	e := apiEndpoint{BindPort: p.bindPort}
	switch ips := p.staticIPs(); {
	case len(ips) > 0:
		e.AdvertiseAddress = ips[0].String()
	case p.families[0] == ipv6:
		e.AdvertiseAddress = netip.IPv6Unspecified().String() // the address to be found, of this family
	}
	return e
}

// nodeIP is the kubelet's argument node-ip. It is given where kubelet would have to choose: static addresses beside a
// virtual one, or IPv6 before IPv4.
func (p plan) nodeIP() string {
	ips := p.staticIPs()
	if len(ips) == 0 {
		if p.families[0] == ipv6 {
			return netip.IPv6Unspecified().String()
		}
		return ""
	}
	if !p.version.atLeast(1, 29) {
		ips = ips[:1] // with an external cloud provider, older kubelets take one address only
	}
	texts := make([]string, len(ips))
	for i, ip := range ips {
		texts[i] = ip.String()
	}
	return strings.Join(texts, ",")
}

// staticIPs are the node's own addresses, one of each of the cluster's families, the primary one first.
func (p plan) staticIPs() []netip.Addr {
	var ips []netip.Addr
	for _, f := range p.families {
		for _, prefix := range p.Interfaces[0].Addresses {
			if familyOf(prefix.Addr()) == f {
				ips = append(ips, prefix.Addr())
				break
			}
		}
	}
	return ips
}
