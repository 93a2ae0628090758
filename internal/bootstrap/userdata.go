package bootstrap

import (
	_ "embed"
	"fmt"
	"strconv"

	"sigs.k8s.io/yaml"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// script is what turns a booted machine into a node; its own comments say how.
//
//go:embed palette-bootstrap.sh
var script string

const (
	scriptPath = "/usr/local/bin/palette-bootstrap"
	// kubeadmPath is below /run, so that the token never reaches a disk.
	kubeadmPath = "/run/palette/kubeadm.yaml"
	pkiDir      = "/etc/kubernetes/pki/"
)

// cloudConfig holds the fields of cloud-init's user data that are used here.
type cloudConfig struct {
	BootCmd           [][]string `json:"bootcmd"`
	ManageEtcHosts    string     `json:"manage_etc_hosts"`
	NTP               *ntp       `json:"ntp,omitempty"`
	RunCmd            [][]string `json:"runcmd"`
	SSHAuthorizedKeys []string   `json:"ssh_authorized_keys,omitempty"`
	Users             []string   `json:"users"`
	WriteFiles        []file     `json:"write_files"`
}

type ntp struct {
	Enabled bool     `json:"enabled"`
	Servers []string `json:"servers"`
}

type file struct {
	Path        string `json:"path"`
	Owner       string `json:"owner"`
	Permissions string `json:"permissions"`
	Content     string `json:"content"`
}

func userdata(p plan, s Secrets) ([]byte, error) {
	files, err := files(p, s)
	if err != nil {
		return nil, err
	}
	run := []string{scriptPath, string(p.Join), p.KubernetesVersion, p.Endpoint.Host, strconv.Itoa(p.port)}
	config := cloudConfig{
		BootCmd:           [][]string{reportBoot()},
		ManageEtcHosts:    "localhost",
		RunCmd:            [][]string{run},
		SSHAuthorizedKeys: p.SSHAuthorizedKeys,
		Users:             []string{"default"},
		WriteFiles:        files,
	}
	if len(p.NTPServers) > 0 {
		config.NTP = &ntp{Enabled: true, Servers: p.NTPServers}
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encoding user data: %w", err)
	}
	return append([]byte("#cloud-config\n"), data...), nil
}

// files are the files a machine is given; those with keys can be read by root only.
func files(p plan, s Secrets) ([]file, error) {
	config, err := kubeadmConfig(p, s)
	if err != nil {
		return nil, err
	}
	all := []file{
		{Path: scriptPath, Permissions: "0755", Content: script},
		{Path: kubeadmPath, Permissions: "0600", Content: string(config)},
	}
	if p.controlPlane() {
		all = append(all, pkiFiles(s)...)
	}
	vip, err := kubeVIPFiles(p)
	if err != nil {
		return nil, err
	}
	all = append(all, vip...)
	for i := range all {
		all[i].Owner = "root:root"
	}
	return all, nil
}

// pkiFiles are the authorities where kubeadm looks for them before it makes its own.
func pkiFiles(s Secrets) []file {
	return []file{
		{Path: pkiDir + "ca.crt", Permissions: "0644", Content: s.CA.Certificate},
		{Path: pkiDir + "ca.key", Permissions: "0600", Content: s.CA.Key},
		{Path: pkiDir + "etcd/ca.crt", Permissions: "0644", Content: s.EtcdCA.Certificate},
		{Path: pkiDir + "etcd/ca.key", Permissions: "0600", Content: s.EtcdCA.Key},
		{Path: pkiDir + "front-proxy-ca.crt", Permissions: "0644", Content: s.FrontProxyCA.Certificate},
		{Path: pkiDir + "front-proxy-ca.key", Permissions: "0600", Content: s.FrontProxyCA.Key},
		{Path: pkiDir + "sa.key", Permissions: "0600", Content: s.ServiceAccount.Private},
		{Path: pkiDir + "sa.pub", Permissions: "0644", Content: s.ServiceAccount.Public},
	}
}

// reportBoot reports the first phase long before files are written, so that a guest that hangs later can be told
// from one that never booted. Boot commands run at each boot; this one once for each instance, or it would hide a
// later phase.
func reportBoot() []string {
	value := fmt.Sprintf("info-set %s $(date -u +%%Y-%%m-%%dT%%H:%%M:%%SZ)|%s|%s|cloud-init has read the user data",
		cluster.ProgressKey, PhaseBoot, cluster.ProgressDone)
	command := fmt.Sprintf(`vmware-rpctool "%[1]s" || vmtoolsd --cmd "%[1]s" || true`, value)
	return []string{"cloud-init-per", "instance", "palette-boot", "sh", "-c", command}
}
