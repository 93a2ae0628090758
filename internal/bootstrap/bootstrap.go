// Package bootstrap owns what a machine boots with: the cluster's PKI, kubeadm's configuration, the kube-vip static
// pod and the cloud-init documents that carry them through guestinfo, and the words in which a booting guest reports
// progress. The gateway uses it; it is pure (no I/O, no clock), except that NewSecrets reads crypto/rand.
//
// Decisions a reader may look for:
//
//   - The kubelet and the controller manager run with cloud-provider=external, as Cluster API's vSphere provider
//     has it. Until the vSphere cloud provider is installed, nodes keep the taint
//     node.cloudprovider.kubernetes.io/uninitialized.
//   - kube-vip holds the endpoint when endpoint.host is an IP address. When it is a DNS name, a load balancer in
//     front of the control plane is assumed, whose servers listen on port 6443.
//   - Joining control planes get the CA files in their payload. It is the way that needs no call into the cluster.
//   - The bootstrap token does not expire: without a client of the cluster's API nobody could renew it, and a pool
//     must still grow after a day.
//   - Annotations of a node, and labels that a kubelet may not give itself (SplitLabels), are written by the
//     gateway after the machine has joined.
package bootstrap

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"net/netip"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Keys of extraConfig that cloud-init's VMware data source reads.
const (
	MetadataKey         = "guestinfo.metadata"
	MetadataEncodingKey = "guestinfo.metadata.encoding"
	UserdataKey         = "guestinfo.userdata"
	UserdataEncodingKey = "guestinfo.userdata.encoding"
)

// ValueLimit is the size in bytes that open-vm-tools can read of one guestinfo value.
const ValueLimit = 64 << 10

// Machine is all that a machine's payload depends on, besides the cluster's secrets.
type Machine struct {
	ClusterName string
	// Name is the host name and the node's name.
	Name         string
	InstanceUUID string
	Join         cluster.JoinMode
	// KubernetesVersion is written "v1.34.1"; build metadata after "+" is allowed.
	KubernetesVersion string
	Endpoint          cluster.Endpoint
	Network           cluster.Network
	SSHAuthorizedKeys []string
	NTPServers        []string
	// Node gives the labels and taints the kubelet registers with. Its annotations are not part of the payload.
	Node cluster.NodeMetadata
	// Interfaces are the network cards in order; the first carries the node's address. At least one.
	Interfaces []Interface
}

// Interface is the configuration of one network card.
type Interface struct {
	// MAC selects the card. "" selects by the name e* and is allowed with one card only. That needs an image whose
	// network is rendered by netplan: other renderers take names literally. A MAC works everywhere.
	MAC string
	// Addresses are static addresses with their prefix lengths; none means DHCP in the families of the service CIDR.
	Addresses     []netip.Prefix
	Gateway       netip.Addr
	NameServers   []netip.Addr
	SearchDomains []string
}

// TooLargeError says that a value does not fit into guestinfo.
type TooLargeError struct {
	// Key is the extraConfig key.
	Key string
	// Size and Limit are in bytes, after encoding.
	Size, Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the value of %s has %d bytes, a guest can read %d", e.Key, e.Size, e.Limit)
}

// Payload returns the extraConfig values a machine boots with. The same machine and secrets give the same bytes.
// Metadata is base64 only, because the vSphere cloud provider reads it back and knows no other encoding; user data,
// which has the secrets, is compressed too.
//
// A machine that makes no sense is refused with ErrInvalid, a value that does not fit with a *TooLargeError.
func Payload(m Machine, s Secrets) (map[string]string, error) {
	p, err := newPlan(m)
	if err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	meta, err := metadata(p)
	if err != nil {
		return nil, err
	}
	user, err := userdata(p, s)
	if err != nil {
		return nil, err
	}
	return guestInfo(meta, user)
}

// CloudInit returns the extraConfig values of a VM that is no machine of a cluster: its host name, its one network card
// and its user data. Without addresses the card asks by DHCP for an IPv4 one.
func CloudInit(name, instanceUUID string, nic Interface, user []byte) (map[string]string, error) {
	if !nameForm.MatchString(name) {
		return nil, invalid("name %q is not a host name", name)
	}
	asked := ipv4
	if len(nic.Addresses) > 0 {
		asked = familyOf(nic.Addresses[0].Addr())
	}
	p := plan{Machine: Machine{Name: name, InstanceUUID: instanceUUID, Interfaces: []Interface{nic}}, families: []family{asked}}
	if err := p.checkInterfaces(); err != nil {
		return nil, err
	}
	meta, err := metadata(p)
	if err != nil {
		return nil, err
	}
	return guestInfo(meta, user)
}

// guestInfo are the extraConfig values that carry the documents.
func guestInfo(meta, user []byte) (map[string]string, error) {
	packed, err := compress(user)
	if err != nil {
		return nil, err
	}
	values := map[string]string{
		MetadataKey:         base64.StdEncoding.EncodeToString(meta),
		MetadataEncodingKey: "base64",
		UserdataKey:         base64.StdEncoding.EncodeToString(packed),
		UserdataEncodingKey: "gzip+base64",
	}
	for _, key := range []string{MetadataKey, UserdataKey} {
		if size := len(values[key]); size > ValueLimit {
			return nil, &TooLargeError{Key: key, Size: size, Limit: ValueLimit}
		}
	}
	return values, nil
}

// Clear returns the extraConfig values that remove a machine's secrets once it has joined: an empty value removes
// its key. Metadata stays, because the vSphere cloud provider and each later boot read it.
func Clear() map[string]string {
	return map[string]string{UserdataKey: "", UserdataEncodingKey: ""}
}

// compress leaves the header's time and name unset, so that its output depends on its input only.
func compress(data []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("compressing user data: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("compressing user data: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing user data: %w", err)
	}
	return buf.Bytes(), nil
}
