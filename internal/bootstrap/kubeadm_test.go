package bootstrap_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

const kubeadmPath = "/run/palette/kubeadm.yaml"

// documents decodes kubeadm's documents strictly, by version and kind.
func documents(t *testing.T, text string) map[string]any {
	t.Helper()
	found := map[string]any{}
	for part := range strings.SplitSeq(text, "---\n") {
		var meta typeMeta
		if err := yaml.Unmarshal([]byte(part), &meta); err != nil {
			t.Fatal(err)
		}
		into := map[string]any{
			"kubeadm.k8s.io/v1beta3/InitConfiguration":    &v1beta3Init{},
			"kubeadm.k8s.io/v1beta3/ClusterConfiguration": &v1beta3Cluster{},
			"kubeadm.k8s.io/v1beta3/JoinConfiguration":    &v1beta3Join{},
			"kubeadm.k8s.io/v1beta4/InitConfiguration":    &v1beta4Init{},
			"kubeadm.k8s.io/v1beta4/ClusterConfiguration": &v1beta4Cluster{},
			"kubeadm.k8s.io/v1beta4/JoinConfiguration":    &v1beta4Join{},
		}[meta.APIVersion+"/"+meta.Kind]
		if into == nil {
			t.Fatalf("unknown document %s %s", meta.APIVersion, meta.Kind)
		}
		strictly(t, []byte(part), into)
		found[strings.TrimPrefix(meta.APIVersion, "kubeadm.k8s.io/")+"/"+meta.Kind] = into
	}
	return found
}

func TestKubeadmDocuments(t *testing.T) {
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		api := "v1beta3"
		if minor(t, m.KubernetesVersion) >= 31 {
			api = "v1beta4"
		}
		want := []string{api + "/JoinConfiguration"}
		if m.Join == cluster.JoinInit {
			want = []string{api + "/ClusterConfiguration", api + "/InitConfiguration"}
		}
		var got []string
		for name := range documents(t, decode(t, m).files()[kubeadmPath]) {
			got = append(got, name)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// common is what both versions of the API say of a cluster.
type common struct {
	API, Name, Version, Endpoint, Encryption string
	SANs                                     []string
	Gates                                    map[string]bool
	Networking                               kubeadmNetworking
	CloudProvider                            string
	Patience                                 time.Duration
}

func TestClusterConfiguration(t *testing.T) {
	for _, version := range versions {
		for _, s := range shapes {
			t.Run(kindName(cluster.JoinInit, version, s.name), func(t *testing.T) {
				m := machine(cluster.JoinInit, version, s)
				docs := documents(t, decode(t, m).files()[kubeadmPath])
				want := common{
					API: "kubeadm.k8s.io/v1beta4", Name: "prod", Version: version,
					SANs: []string{m.Endpoint.Host}, CloudProvider: "external",
					Networking: kubeadmNetworking{m.Network.ServiceCIDR, m.Network.PodCIDR, m.Network.DNSDomain},
					Encryption: "ECDSA-P256", Patience: 10 * time.Minute,
					Endpoint: map[string]string{
						"dhcp": "10.0.0.10:6443", "static": "10.0.0.10:6443", "ipv6": "[fd00::10]:8443",
						"two-cards": "api.prod.example.net:443",
					}[s.name],
				}
				switch v := minor(t, version); {
				case v < 31:
					want.API, want.Encryption = "kubeadm.k8s.io/v1beta3", ""
				case v < 36:
					want.Gates = map[string]bool{"ControlPlaneKubeletLocalMode": true}
				}
				if diff := cmp.Diff(want, readCluster(docs)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func readCluster(docs map[string]any) common {
	if c, ok := docs["v1beta3/ClusterConfiguration"].(*v1beta3Cluster); ok {
		return common{
			API: c.APIVersion, Name: c.ClusterName, Version: c.KubernetesVersion, Endpoint: c.ControlPlaneEndpoint,
			SANs: c.APIServer.CertSANs, Gates: c.FeatureGates, Networking: c.Networking,
			CloudProvider: c.ControllerManager.ExtraArgs["cloud-provider"],
			Patience:      c.APIServer.TimeoutForControlPlane.Duration,
		}
	}
	c, i := docs["v1beta4/ClusterConfiguration"].(*v1beta4Cluster), docs["v1beta4/InitConfiguration"].(*v1beta4Init)
	return common{
		API: c.APIVersion, Name: c.ClusterName, Version: c.KubernetesVersion, Endpoint: c.ControlPlaneEndpoint,
		Encryption: c.EncryptionAlgorithm, SANs: c.APIServer.CertSANs, Gates: c.FeatureGates, Networking: c.Networking,
		CloudProvider: byName(c.ControllerManager.ExtraArgs)["cloud-provider"],
		Patience:      i.Timeouts.ControlPlaneComponentHealthCheck.Duration,
	}
}

func byName(args []kubeadmArg) map[string]string {
	m := map[string]string{}
	for _, a := range args {
		m[a.Name] = a.Value
	}
	return m
}

// entry is how a machine enters the cluster, in both versions of the API.
type entry struct {
	Node         string
	CRISocket    string
	Taints       []kubeadmTaint
	KubeletArgs  map[string]string
	API          *kubeadmEndpoint // nil on workers
	Discovery    *kubeadmDiscoveryToken
	Tokens       []kubeadmToken
	ModernLimits bool
}

func readEntry(t *testing.T, docs map[string]any) entry {
	t.Helper()
	var e entry
	legacy := func(n kubeadmNode[map[string]string]) {
		e.Node, e.CRISocket, e.Taints, e.KubeletArgs = n.Name, n.CRISocket, n.Taints, n.KubeletExtraArgs
	}
	modern := func(n kubeadmNode[[]kubeadmArg], limits *kubeadmTimeouts) {
		e.Node, e.CRISocket, e.Taints, e.KubeletArgs = n.Name, n.CRISocket, n.Taints, byName(n.KubeletExtraArgs)
		e.ModernLimits = limits != nil && limits.Discovery.Duration > 5*time.Minute &&
			limits.EtcdAPICall.Duration > 2*time.Minute
	}
	for _, doc := range docs {
		switch d := doc.(type) {
		case *v1beta3Init:
			legacy(d.NodeRegistration)
			e.API, e.Tokens = &d.LocalAPIEndpoint, d.BootstrapTokens
		case *v1beta4Init:
			modern(d.NodeRegistration, d.Timeouts)
			e.API, e.Tokens = &d.LocalAPIEndpoint, d.BootstrapTokens
		case *v1beta3Join:
			legacy(d.NodeRegistration)
			e.Discovery = d.Discovery.BootstrapToken
			if d.ControlPlane != nil {
				e.API = &d.ControlPlane.LocalAPIEndpoint
			}
		case *v1beta4Join:
			modern(d.NodeRegistration, d.Timeouts)
			e.Discovery = d.Discovery.BootstrapToken
			if d.ControlPlane != nil {
				e.API = &d.ControlPlane.LocalAPIEndpoint
			}
		}
	}
	return e
}

func TestEntry(t *testing.T) {
	address := map[string]string{"static": "10.0.0.21", "ipv6": "fd00::21", "two-cards": "10.0.0.21"}
	ports := map[string]int32{"dhcp": 6443, "static": 6443, "ipv6": 8443, "two-cards": 6443}
	endpoints := map[string]string{
		"dhcp": "10.0.0.10:6443", "static": "10.0.0.10:6443", "ipv6": "[fd00::10]:8443",
		"two-cards": "api.prod.example.net:443",
	}
	secrets := fixedSecrets(t)
	kinds(t, func(t *testing.T, m bootstrap.Machine) {
		shape := t.Name()[strings.LastIndex(t.Name(), m.KubernetesVersion)+len(m.KubernetesVersion)+1:]
		want := entry{
			Node: m.Name, CRISocket: "unix:///run/containerd/containerd.sock",
			Taints:       []kubeadmTaint{{Key: "dedicated", Value: "general", Effect: "NoSchedule"}},
			KubeletArgs:  map[string]string{"cloud-provider": "external"},
			ModernLimits: minor(t, m.KubernetesVersion) >= 31,
		}
		if address[shape] != "" {
			want.KubeletArgs["node-ip"] = address[shape]
		}
		if m.Join == cluster.JoinWorker {
			want.KubeletArgs["node-labels"] = "node.kubernetes.io/pool=general,tier=general"
		} else {
			want.API = &kubeadmEndpoint{AdvertiseAddress: address[shape], BindPort: ports[shape]}
			// Taints of one's own replace kubeadm's, so its own has to be among them.
			own := kubeadmTaint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}
			want.Taints = slices.Insert(want.Taints, 0, own)
		}
		if m.Join == cluster.JoinInit {
			want.Tokens = []kubeadmToken{{
				Token: secrets.Token, Description: "joins machines of the cluster prod", TTL: &duration{},
				Usages: []string{"signing", "authentication"}, Groups: []string{"system:bootstrappers:kubeadm:default-node-token"},
			}}
		} else {
			want.Discovery = &kubeadmDiscoveryToken{
				Token: secrets.Token, APIServerEndpoint: endpoints[shape], CACertHashes: []string{secrets.CACertHash()},
			}
		}
		if diff := cmp.Diff(want, readEntry(t, documents(t, decode(t, m).files()[kubeadmPath]))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDefaultTaintsAreLeftToKubeadm(t *testing.T) {
	for _, join := range joins {
		m := machine(join, "v1.34.1", shapes[0])
		m.Node.Taints = nil
		if got := readEntry(t, documents(t, decode(t, m).files()[kubeadmPath])); got.Taints != nil {
			t.Errorf("%s: taints are %v; an empty list would untaint a control plane", join, got.Taints)
		}
	}
}

// TestKubeadmAccepts asks the real thing, where it is installed.
func TestKubeadmAccepts(t *testing.T) {
	kubeadm, err := exec.LookPath("kubeadm")
	if err != nil {
		t.Skip("kubeadm is not on PATH: its documents are checked against the documented shapes only")
	}
	out, err := exec.CommandContext(t.Context(), kubeadm, "version", "-o", "short").Output()
	if err != nil {
		t.Fatal(err)
	}
	own := strings.TrimSpace(string(out))
	for _, join := range joins {
		for _, s := range shapes {
			path := filepath.Join(t.TempDir(), "kubeadm.yaml")
			text := decode(t, machine(join, own, s)).files()[kubeadmPath]
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), kubeadm, "config", "validate", "--config", path).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", kindName(join, own, s.name), err, out)
			}
		}
	}
}
