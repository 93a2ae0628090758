package payload

import (
	"errors"
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// The types of this file are kubeadm's documents, in both versions, with all the fields of its reference.

type ttl = time.Duration

// defaultTTL is how long a token lives if nothing is said.
const defaultTTL = 24 * time.Hour

type duration struct{ time.Duration }

// UnmarshalYAML is part of yaml.Unmarshaler.
func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	var t text
	if err := t.UnmarshalYAML(node); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(string(t))
	if err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	d.Duration = parsed
	return nil
}

type typeMeta struct {
	APIVersion text `yaml:"apiVersion"`
	Kind       text `yaml:"kind"`
}

type bootstrapToken struct {
	Token       text      `yaml:"token"`
	Description text      `yaml:"description"`
	TTL         *duration `yaml:"ttl"`
	Expires     text      `yaml:"expires"`
	Usages      []text    `yaml:"usages"`
	Groups      []text    `yaml:"groups"`
}

type apiEndpoint struct {
	AdvertiseAddress text `yaml:"advertiseAddress"`
	BindPort         int  `yaml:"bindPort"`
}

type taint struct {
	Key    text `yaml:"key"`
	Value  text `yaml:"value"`
	Effect text `yaml:"effect"`
}

type patches struct {
	Directory text `yaml:"directory"`
}

// argsBeta3 are extra arguments as a map.
type argsBeta3 map[string]text

func (a argsBeta3) values() map[string]string {
	values := map[string]string{}
	for name, value := range a {
		values[name] = string(value)
	}
	return values
}

// argsBeta4 are extra arguments as a list.
type argsBeta4 []struct {
	Name  text `yaml:"name"`
	Value text `yaml:"value"`
}

func (a argsBeta4) values() map[string]string {
	values := map[string]string{}
	for _, arg := range a {
		values[string(arg.Name)] = string(arg.Value)
	}
	return values
}

type nodeCommon struct {
	name   string
	args   map[string]string
	taints []taint
}

type nodeBeta3 struct {
	Name                  text      `yaml:"name"`
	CRISocket             text      `yaml:"criSocket"`
	Taints                []taint   `yaml:"taints"`
	KubeletExtraArgs      argsBeta3 `yaml:"kubeletExtraArgs"`
	IgnorePreflightErrors []text    `yaml:"ignorePreflightErrors"`
	ImagePullPolicy       text      `yaml:"imagePullPolicy"`
}

func (n nodeBeta3) common() nodeCommon {
	return nodeCommon{string(n.Name), n.KubeletExtraArgs.values(), n.Taints}
}

type nodeBeta4 struct {
	Name                  text      `yaml:"name"`
	CRISocket             text      `yaml:"criSocket"`
	Taints                []taint   `yaml:"taints"`
	KubeletExtraArgs      argsBeta4 `yaml:"kubeletExtraArgs"`
	IgnorePreflightErrors []text    `yaml:"ignorePreflightErrors"`
	ImagePullPolicy       text      `yaml:"imagePullPolicy"`
	ImagePullSerial       *bool     `yaml:"imagePullSerial"`
}

func (n nodeBeta4) common() nodeCommon {
	return nodeCommon{string(n.Name), n.KubeletExtraArgs.values(), n.Taints}
}

type initBeta3 struct {
	typeMeta         `yaml:",inline"`
	BootstrapTokens  []bootstrapToken `yaml:"bootstrapTokens"`
	LocalAPIEndpoint apiEndpoint      `yaml:"localAPIEndpoint"`
	NodeRegistration nodeBeta3        `yaml:"nodeRegistration"`
	CertificateKey   text             `yaml:"certificateKey"`
	SkipPhases       []text           `yaml:"skipPhases"`
	Patches          *patches         `yaml:"patches"`
}

type initBeta4 struct {
	typeMeta         `yaml:",inline"`
	BootstrapTokens  []bootstrapToken `yaml:"bootstrapTokens"`
	DryRun           bool             `yaml:"dryRun"`
	LocalAPIEndpoint apiEndpoint      `yaml:"localAPIEndpoint"`
	NodeRegistration nodeBeta4        `yaml:"nodeRegistration"`
	CertificateKey   text             `yaml:"certificateKey"`
	SkipPhases       []text           `yaml:"skipPhases"`
	Patches          *patches         `yaml:"patches"`
	Timeouts         *timeouts        `yaml:"timeouts"`
}

type timeouts struct {
	ControlPlaneComponentHealthCheck *duration `yaml:"controlPlaneComponentHealthCheck"`
	KubeletHealthCheck               *duration `yaml:"kubeletHealthCheck"`
	KubernetesAPICall                *duration `yaml:"kubernetesAPICall"`
	EtcdAPICall                      *duration `yaml:"etcdAPICall"`
	TLSBootstrap                     *duration `yaml:"tlsBootstrap"`
	Discovery                        *duration `yaml:"discovery"`
	UpgradeManifests                 *duration `yaml:"upgradeManifests"`
}

type clusterCommon struct {
	ClusterName          text            `yaml:"clusterName"`
	KubernetesVersion    text            `yaml:"kubernetesVersion"`
	ControlPlaneEndpoint text            `yaml:"controlPlaneEndpoint"`
	CertificatesDir      text            `yaml:"certificatesDir"`
	ImageRepository      text            `yaml:"imageRepository"`
	FeatureGates         map[string]bool `yaml:"featureGates"`
	Networking           struct {
		PodSubnet     text `yaml:"podSubnet"`
		ServiceSubnet text `yaml:"serviceSubnet"`
		DNSDomain     text `yaml:"dnsDomain"`
	} `yaml:"networking"`
}

type hostPathMount struct {
	Name      text `yaml:"name"`
	HostPath  text `yaml:"hostPath"`
	MountPath text `yaml:"mountPath"`
	ReadOnly  bool `yaml:"readOnly"`
	PathType  text `yaml:"pathType"`
}

type envVar struct {
	Name  text `yaml:"name"`
	Value text `yaml:"value"`
}

type componentBeta3 struct {
	ExtraArgs    argsBeta3       `yaml:"extraArgs"`
	ExtraVolumes []hostPathMount `yaml:"extraVolumes"`
}

type componentBeta4 struct {
	ExtraArgs    argsBeta4       `yaml:"extraArgs"`
	ExtraVolumes []hostPathMount `yaml:"extraVolumes"`
	ExtraEnvs    []envVar        `yaml:"extraEnvs"`
}

type imageMeta struct {
	ImageRepository text `yaml:"imageRepository"`
	ImageTag        text `yaml:"imageTag"`
}

type clusterBeta3 struct {
	typeMeta      `yaml:",inline"`
	clusterCommon `yaml:",inline"`
	APIServer     struct {
		componentBeta3         `yaml:",inline"`
		CertSANs               []text    `yaml:"certSANs"`
		TimeoutForControlPlane *duration `yaml:"timeoutForControlPlane"`
	} `yaml:"apiServer"`
	ControllerManager componentBeta3 `yaml:"controllerManager"`
	Scheduler         componentBeta3 `yaml:"scheduler"`
	DNS               imageMeta      `yaml:"dns"`
	Etcd              struct {
		Local struct {
			imageMeta      `yaml:",inline"`
			DataDir        text      `yaml:"dataDir"`
			ExtraArgs      argsBeta3 `yaml:"extraArgs"`
			ServerCertSANs []text    `yaml:"serverCertSANs"`
			PeerCertSANs   []text    `yaml:"peerCertSANs"`
		} `yaml:"local"`
	} `yaml:"etcd"`
}

type clusterBeta4 struct {
	typeMeta      `yaml:",inline"`
	clusterCommon `yaml:",inline"`
	APIServer     struct {
		componentBeta4 `yaml:",inline"`
		CertSANs       []text `yaml:"certSANs"`
	} `yaml:"apiServer"`
	ControllerManager componentBeta4 `yaml:"controllerManager"`
	Scheduler         componentBeta4 `yaml:"scheduler"`
	DNS               struct {
		imageMeta `yaml:",inline"`
		Disabled  bool `yaml:"disabled"`
	} `yaml:"dns"`
	Proxy struct {
		Disabled bool `yaml:"disabled"`
	} `yaml:"proxy"`
	Etcd struct {
		Local struct {
			imageMeta      `yaml:",inline"`
			DataDir        text      `yaml:"dataDir"`
			ExtraArgs      argsBeta4 `yaml:"extraArgs"`
			ExtraEnvs      []envVar  `yaml:"extraEnvs"`
			ServerCertSANs []text    `yaml:"serverCertSANs"`
			PeerCertSANs   []text    `yaml:"peerCertSANs"`
		} `yaml:"local"`
	} `yaml:"etcd"`
	EncryptionAlgorithm         text      `yaml:"encryptionAlgorithm"`
	CertificateValidityPeriod   *duration `yaml:"certificateValidityPeriod"`
	CACertificateValidityPeriod *duration `yaml:"caCertificateValidityPeriod"`
}

type tokenDiscovery struct {
	Token                    text   `yaml:"token"`
	APIServerEndpoint        text   `yaml:"apiServerEndpoint"`
	CACertHashes             []text `yaml:"caCertHashes"`
	UnsafeSkipCAVerification bool   `yaml:"unsafeSkipCAVerification"`
}

type joinControlPlane struct {
	LocalAPIEndpoint apiEndpoint `yaml:"localAPIEndpoint"`
	CertificateKey   text        `yaml:"certificateKey"`
}

type joinBeta3 struct {
	typeMeta         `yaml:",inline"`
	NodeRegistration nodeBeta3 `yaml:"nodeRegistration"`
	CACertPath       text      `yaml:"caCertPath"`
	Discovery        struct {
		BootstrapToken    *tokenDiscovery `yaml:"bootstrapToken"`
		TLSBootstrapToken text            `yaml:"tlsBootstrapToken"`
		Timeout           *duration       `yaml:"timeout"`
	} `yaml:"discovery"`
	ControlPlane *joinControlPlane `yaml:"controlPlane"`
	SkipPhases   []text            `yaml:"skipPhases"`
	Patches      *patches          `yaml:"patches"`
}

type joinBeta4 struct {
	typeMeta         `yaml:",inline"`
	DryRun           bool      `yaml:"dryRun"`
	NodeRegistration nodeBeta4 `yaml:"nodeRegistration"`
	CACertPath       text      `yaml:"caCertPath"`
	Discovery        struct {
		BootstrapToken    *tokenDiscovery `yaml:"bootstrapToken"`
		TLSBootstrapToken text            `yaml:"tlsBootstrapToken"`
	} `yaml:"discovery"`
	ControlPlane *joinControlPlane `yaml:"controlPlane"`
	SkipPhases   []text            `yaml:"skipPhases"`
	Patches      *patches          `yaml:"patches"`
	Timeouts     *timeouts         `yaml:"timeouts"`
}

var errNoPEM = errors.New("no PEM block")
