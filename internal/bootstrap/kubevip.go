package bootstrap

import (
	"fmt"
	"strconv"

	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// KubeVIPImage is the image that holds the endpoint's address on control planes. Templates for networks without a
// registry have to carry it.
const KubeVIPImage = "ghcr.io/kube-vip/kube-vip:v1.2.3"

const (
	adminConf      = "/etc/kubernetes/admin.conf"
	superAdminConf = "/etc/kubernetes/super-admin.conf"

	kubeVIPManifest = "/etc/kubernetes/manifests/kube-vip.yaml"
	// kubeVIPAfterInit is the manifest that takes the place of the first one when kubeadm init is done.
	kubeVIPAfterInit = "/etc/palette/kube-vip.yaml"
	kubeVIPHosts     = "/etc/palette/kube-vip.hosts"
)

// kubeVIPHostsFile lets kube-vip find the API server of its own node under a name its certificate has. It is a file
// of its own, because host aliases of a static pod are not honoured everywhere.
const kubeVIPHostsFile = "127.0.0.1 localhost kubernetes\n::1 localhost\n"

// pod and the types below hold the fields of a static pod that are used here.
type pod struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Metadata   podMetadata `json:"metadata"`
	Spec       podSpec     `json:"spec"`
}

type podMetadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

type podSpec struct {
	Containers        []container `json:"containers"`
	HostNetwork       bool        `json:"hostNetwork"`
	PriorityClassName string      `json:"priorityClassName"`
	Volumes           []volume    `json:"volumes"`
}

type container struct {
	Name            string          `json:"name"`
	Image           string          `json:"image"`
	ImagePullPolicy string          `json:"imagePullPolicy"`
	Args            []string        `json:"args"`
	Env             []envVar        `json:"env"`
	SecurityContext securityContext `json:"securityContext"`
	VolumeMounts    []volumeMount   `json:"volumeMounts"`
}

type envVar struct {
	Name      string     `json:"name"`
	Value     string     `json:"value,omitempty"`
	ValueFrom *envSource `json:"valueFrom,omitempty"`
}

type envSource struct {
	FieldRef fieldRef `json:"fieldRef"`
}

type fieldRef struct {
	FieldPath string `json:"fieldPath"`
}

type securityContext struct {
	Capabilities capabilities `json:"capabilities"`
}

type capabilities struct {
	Add  []string `json:"add"`
	Drop []string `json:"drop"`
}

type volumeMount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
	ReadOnly  bool   `json:"readOnly"`
}

type volume struct {
	Name     string   `json:"name"`
	HostPath hostPath `json:"hostPath"`
}

type hostPath struct {
	Path string `json:"path"`
	Type string `json:"type"`
}

// kubeVIPFiles are the files of kube-vip; none where no address is to be held.
func kubeVIPFiles(p plan) ([]file, error) {
	if !p.controlPlane() || !p.vip.IsValid() {
		return nil, nil
	}
	files := []file{{Path: kubeVIPHosts, Permissions: "0644", Content: kubeVIPHostsFile}}
	add := func(path, kubeconfig string) error {
		manifest, err := yaml.Marshal(kubeVIPPod(p, kubeconfig))
		if err != nil {
			return fmt.Errorf("encoding kube-vip manifest: %w", err)
		}
		files = append(files, file{Path: path, Permissions: "0600", Content: string(manifest)})
		return nil
	}
	if p.Join != cluster.JoinInit || !p.version.atLeast(1, 29) {
		return files, add(kubeVIPManifest, adminConf)
	}
	// From 1.29 on, admin.conf has no rights until kubeadm init is nearly done, and that needs the endpoint.
	if err := add(kubeVIPManifest, superAdminConf); err != nil {
		return nil, err
	}
	return files, add(kubeVIPAfterInit, adminConf)
}

func kubeVIPPod(p plan, kubeconfig string) pod {
	return pod{
		APIVersion: "v1", Kind: "Pod",
		Metadata: podMetadata{
			Name: "kube-vip", Namespace: "kube-system",
			Labels: map[string]string{"app.kubernetes.io/name": "kube-vip", "component": "kube-vip", "tier": "control-plane"},
		},
		Spec: podSpec{
			HostNetwork:       true,
			PriorityClassName: "system-node-critical",
			Containers: []container{{
				Name: "kube-vip", Image: KubeVIPImage, ImagePullPolicy: "IfNotPresent",
				Args: []string{"manager"},
				Env:  kubeVIPEnv(p),
				SecurityContext: securityContext{
					Capabilities: capabilities{Add: []string{"NET_ADMIN", "NET_RAW"}, Drop: []string{"ALL"}},
				},
				VolumeMounts: []volumeMount{
					{Name: "kubeconfig", MountPath: adminConf, ReadOnly: true},
					{Name: "hosts", MountPath: "/etc/hosts", ReadOnly: true},
				},
			}},
			// Type File: kubelet waits for the file, where other types would put an empty one in kubeadm's way.
			Volumes: []volume{
				{Name: "kubeconfig", HostPath: hostPath{Path: kubeconfig, Type: "File"}},
				{Name: "hosts", HostPath: hostPath{Path: kubeVIPHosts, Type: "File"}},
			},
		},
	}
}

// kubeVIPEnv leaves vip_interface out: kube-vip then takes the interface of the default route.
func kubeVIPEnv(p plan) []envVar {
	return []envVar{
		{Name: "address", Value: p.vip.String()},
		{Name: "port", Value: strconv.Itoa(p.port)},
		{Name: "vip_subnet", Value: strconv.Itoa(p.vip.BitLen())},
		{Name: "vip_arp", Value: "true"},
		{Name: "vip_nodename", ValueFrom: &envSource{FieldRef: fieldRef{FieldPath: "spec.nodeName"}}},
		{Name: "cp_enable", Value: "true"},
		{Name: "cp_namespace", Value: "kube-system"},
		{Name: "svc_enable", Value: "false"},
		{Name: "vip_leaderelection", Value: "true"},
		{Name: "vip_leasename", Value: "plndr-cp-lock"},
		// Longer than kube-vip's own 15/10/2: a busy first node must not lose the address while the second one joins.
		{Name: "vip_leaseduration", Value: "30"},
		{Name: "vip_renewdeadline", Value: "20"},
		{Name: "vip_retryperiod", Value: "4"},
		{Name: "k8s_config_file", Value: adminConf},
		{Name: "prometheus_server", Value: "127.0.0.1:2112"},
	}
}
