package bootstrap_test

import (
	"encoding/json"
	"fmt"
	"time"
)

// The types of this file are the documented shapes of the documents a payload carries, written down apart from the
// types that produce them. Documents are decoded into them strictly: a field that kubeadm or cloud-init does not
// know is an error.

// duration is metav1.Duration: text that Go can parse.
type duration struct{ time.Duration }

func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("reading duration: %w", err)
	}
	var err error
	d.Duration, err = time.ParseDuration(text)
	return err
}

type typeMeta struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

type kubeadmToken struct {
	Token       string    `json:"token"`
	Description string    `json:"description,omitempty"`
	TTL         *duration `json:"ttl,omitempty"`
	Expires     string    `json:"expires,omitempty"`
	Usages      []string  `json:"usages,omitempty"`
	Groups      []string  `json:"groups,omitempty"`
}

type kubeadmEndpoint struct {
	AdvertiseAddress string `json:"advertiseAddress,omitempty"`
	BindPort         int32  `json:"bindPort,omitempty"`
}

type kubeadmTaint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

type kubeadmArg struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// args is the type of extra arguments: a map in v1beta3, a list in v1beta4.
type args interface {
	map[string]string | []kubeadmArg
}

type kubeadmNode[A args] struct {
	Name                  string         `json:"name,omitempty"`
	CRISocket             string         `json:"criSocket,omitempty"`
	Taints                []kubeadmTaint `json:"taints"`
	KubeletExtraArgs      A              `json:"kubeletExtraArgs,omitempty"`
	IgnorePreflightErrors []string       `json:"ignorePreflightErrors,omitempty"`
	ImagePullPolicy       string         `json:"imagePullPolicy,omitempty"`
}

type kubeadmComponent[A args] struct {
	ExtraArgs A `json:"extraArgs,omitempty"`
}

type kubeadmNetworking struct {
	ServiceSubnet string `json:"serviceSubnet,omitempty"`
	PodSubnet     string `json:"podSubnet,omitempty"`
	DNSDomain     string `json:"dnsDomain,omitempty"`
}

type kubeadmDiscoveryToken struct {
	Token                    string   `json:"token"`
	APIServerEndpoint        string   `json:"apiServerEndpoint,omitempty"`
	CACertHashes             []string `json:"caCertHashes,omitempty"`
	UnsafeSkipCAVerification bool     `json:"unsafeSkipCAVerification,omitempty"`
}

type kubeadmJoinControlPlane struct {
	LocalAPIEndpoint kubeadmEndpoint `json:"localAPIEndpoint,omitempty"`
	CertificateKey   string          `json:"certificateKey,omitempty"`
}

type kubeadmTimeouts struct {
	ControlPlaneComponentHealthCheck *duration `json:"controlPlaneComponentHealthCheck,omitempty"`
	KubeletHealthCheck               *duration `json:"kubeletHealthCheck,omitempty"`
	KubernetesAPICall                *duration `json:"kubernetesAPICall,omitempty"`
	EtcdAPICall                      *duration `json:"etcdAPICall,omitempty"`
	TLSBootstrap                     *duration `json:"tlsBootstrap,omitempty"`
	Discovery                        *duration `json:"discovery,omitempty"`
	UpgradeManifests                 *duration `json:"upgradeManifests,omitempty"`
}

type v1beta3Init struct {
	typeMeta         `json:",inline"`
	BootstrapTokens  []kubeadmToken                 `json:"bootstrapTokens,omitempty"`
	NodeRegistration kubeadmNode[map[string]string] `json:"nodeRegistration,omitempty"`
	LocalAPIEndpoint kubeadmEndpoint                `json:"localAPIEndpoint,omitempty"`
	CertificateKey   string                         `json:"certificateKey,omitempty"`
	SkipPhases       []string                       `json:"skipPhases,omitempty"`
}

type v1beta4Init struct {
	typeMeta         `json:",inline"`
	BootstrapTokens  []kubeadmToken            `json:"bootstrapTokens,omitempty"`
	NodeRegistration kubeadmNode[[]kubeadmArg] `json:"nodeRegistration,omitempty"`
	LocalAPIEndpoint kubeadmEndpoint           `json:"localAPIEndpoint,omitempty"`
	CertificateKey   string                    `json:"certificateKey,omitempty"`
	SkipPhases       []string                  `json:"skipPhases,omitempty"`
	Timeouts         *kubeadmTimeouts          `json:"timeouts,omitempty"`
}

type v1beta3Cluster struct {
	typeMeta             `json:",inline"`
	Networking           kubeadmNetworking `json:"networking,omitempty"`
	KubernetesVersion    string            `json:"kubernetesVersion,omitempty"`
	ControlPlaneEndpoint string            `json:"controlPlaneEndpoint,omitempty"`
	APIServer            struct {
		ExtraArgs              map[string]string `json:"extraArgs,omitempty"`
		CertSANs               []string          `json:"certSANs,omitempty"`
		TimeoutForControlPlane *duration         `json:"timeoutForControlPlane,omitempty"`
	} `json:"apiServer,omitempty"`
	ControllerManager kubeadmComponent[map[string]string] `json:"controllerManager,omitempty"`
	Scheduler         kubeadmComponent[map[string]string] `json:"scheduler,omitempty"`
	CertificatesDir   string                              `json:"certificatesDir,omitempty"`
	ImageRepository   string                              `json:"imageRepository,omitempty"`
	FeatureGates      map[string]bool                     `json:"featureGates,omitempty"`
	ClusterName       string                              `json:"clusterName,omitempty"`
}

type v1beta4Cluster struct {
	typeMeta             `json:",inline"`
	Networking           kubeadmNetworking `json:"networking,omitempty"`
	KubernetesVersion    string            `json:"kubernetesVersion,omitempty"`
	ControlPlaneEndpoint string            `json:"controlPlaneEndpoint,omitempty"`
	APIServer            struct {
		ExtraArgs []kubeadmArg `json:"extraArgs,omitempty"`
		CertSANs  []string     `json:"certSANs,omitempty"`
	} `json:"apiServer,omitempty"`
	ControllerManager           kubeadmComponent[[]kubeadmArg] `json:"controllerManager,omitempty"`
	Scheduler                   kubeadmComponent[[]kubeadmArg] `json:"scheduler,omitempty"`
	CertificatesDir             string                         `json:"certificatesDir,omitempty"`
	ImageRepository             string                         `json:"imageRepository,omitempty"`
	FeatureGates                map[string]bool                `json:"featureGates,omitempty"`
	ClusterName                 string                         `json:"clusterName,omitempty"`
	EncryptionAlgorithm         string                         `json:"encryptionAlgorithm,omitempty"`
	CertificateValidityPeriod   *duration                      `json:"certificateValidityPeriod,omitempty"`
	CACertificateValidityPeriod *duration                      `json:"caCertificateValidityPeriod,omitempty"`
}

type v1beta3Join struct {
	typeMeta         `json:",inline"`
	NodeRegistration kubeadmNode[map[string]string] `json:"nodeRegistration,omitempty"`
	CACertPath       string                         `json:"caCertPath,omitempty"`
	Discovery        struct {
		BootstrapToken    *kubeadmDiscoveryToken `json:"bootstrapToken,omitempty"`
		TLSBootstrapToken string                 `json:"tlsBootstrapToken,omitempty"`
		Timeout           *duration              `json:"timeout,omitempty"`
	} `json:"discovery"`
	ControlPlane *kubeadmJoinControlPlane `json:"controlPlane,omitempty"`
	SkipPhases   []string                 `json:"skipPhases,omitempty"`
}

type v1beta4Join struct {
	typeMeta         `json:",inline"`
	NodeRegistration kubeadmNode[[]kubeadmArg] `json:"nodeRegistration,omitempty"`
	CACertPath       string                    `json:"caCertPath,omitempty"`
	Discovery        struct {
		BootstrapToken    *kubeadmDiscoveryToken `json:"bootstrapToken,omitempty"`
		TLSBootstrapToken string                 `json:"tlsBootstrapToken,omitempty"`
	} `json:"discovery"`
	ControlPlane *kubeadmJoinControlPlane `json:"controlPlane,omitempty"`
	SkipPhases   []string                 `json:"skipPhases,omitempty"`
	Timeouts     *kubeadmTimeouts         `json:"timeouts,omitempty"`
}

// initMetadata is what cloud-init's VMware data source reads as metadata.
type initMetadata struct {
	InstanceID    string          `json:"instance-id"`
	LocalHostname string          `json:"local-hostname"`
	Redact        []string        `json:"redact"`
	WaitOnNetwork map[string]bool `json:"wait-on-network"`
	Network       struct {
		Version   int                     `json:"version"`
		Ethernets map[string]initEthernet `json:"ethernets"`
	} `json:"network"`
}

type initEthernet struct {
	Match struct {
		Name       string `json:"name,omitempty"`
		MACAddress string `json:"macaddress,omitempty"`
	} `json:"match"`
	DHCP4          bool           `json:"dhcp4"`
	DHCP6          bool           `json:"dhcp6"`
	DHCPIdentifier string         `json:"dhcp-identifier,omitempty"`
	DHCP4Overrides map[string]int `json:"dhcp4-overrides,omitempty"`
	DHCP6Overrides map[string]int `json:"dhcp6-overrides,omitempty"`
	Addresses      []string       `json:"addresses,omitempty"`
	Routes         []initRoute    `json:"routes,omitempty"`
	NameServers    struct {
		Addresses []string `json:"addresses,omitempty"`
		Search    []string `json:"search,omitempty"`
	} `json:"nameservers"`
}

type initRoute struct {
	To     string `json:"to"`
	Via    string `json:"via"`
	Metric int    `json:"metric,omitempty"`
}

// initUserdata is the part of cloud-init's user data that machines use.
type initUserdata struct {
	BootCmd           [][]string `json:"bootcmd"`
	ManageEtcHosts    string     `json:"manage_etc_hosts"`
	RunCmd            [][]string `json:"runcmd"`
	SSHAuthorizedKeys []string   `json:"ssh_authorized_keys"`
	Users             []string   `json:"users"`
	NTP               struct {
		Enabled bool     `json:"enabled"`
		Servers []string `json:"servers"`
	} `json:"ntp"`
	WriteFiles []initFile `json:"write_files"`
}

type initFile struct {
	Path        string `json:"path"`
	Owner       string `json:"owner"`
	Permissions string `json:"permissions"`
	Content     string `json:"content"`
}
