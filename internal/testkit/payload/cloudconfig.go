package payload

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"

	"gopkg.in/yaml.v3"
)

// cloudConfig has the keys of cloud-init's modules that a node needs.
type cloudConfig struct {
	BootCmd           []command   `yaml:"bootcmd"`
	RunCmd            []command   `yaml:"runcmd"`
	WriteFiles        []writeFile `yaml:"write_files"`
	Users             []user      `yaml:"users"`
	SSHAuthorizedKeys []text      `yaml:"ssh_authorized_keys"`
	SSHPasswordAuth   *bool       `yaml:"ssh_pwauth"`
	DisableRoot       *bool       `yaml:"disable_root"`
	Hostname          text        `yaml:"hostname"`
	FQDN              text        `yaml:"fqdn"`
	PreserveHostname  *bool       `yaml:"preserve_hostname"`
	ManageEtcHosts    yaml.Node   `yaml:"manage_etc_hosts"`
	Timezone          text        `yaml:"timezone"`
	NTP               *ntp        `yaml:"ntp"`
	CACerts           caCerts     `yaml:"ca_certs"`

	files map[string][]byte
}

type caCerts struct {
	Trusted []text `yaml:"trusted"`
}

type ntp struct {
	Enabled   bool   `yaml:"enabled"`
	Servers   []text `yaml:"servers"`
	Pools     []text `yaml:"pools"`
	NTPClient text   `yaml:"ntp_client"`
}

type writeFile struct {
	Path        text `yaml:"path"`
	Content     text `yaml:"content"`
	Permissions text `yaml:"permissions"`
	Owner       text `yaml:"owner"`
	Encoding    text `yaml:"encoding"`
	Append      bool `yaml:"append"`
	Defer       bool `yaml:"defer"`
}

// command is a line for the shell or a list of arguments.
type command []string

// UnmarshalYAML is part of yaml.Unmarshaler.
func (c *command) UnmarshalYAML(node *yaml.Node) error {
	var line text
	if node.Kind == yaml.ScalarNode {
		err := node.Decode(&line)
		*c = command{string(line)}
		return err
	}
	var arguments []text
	if err := node.Decode(&arguments); err != nil {
		return err
	}
	for _, argument := range arguments {
		*c = append(*c, string(argument))
	}
	return nil
}

// user is "default" or a user's description.
type user struct {
	Name              text   `yaml:"name"`
	GECOS             text   `yaml:"gecos"`
	Groups            text   `yaml:"groups"`
	PrimaryGroup      text   `yaml:"primary_group"`
	LockPasswd        *bool  `yaml:"lock_passwd"`
	Shell             text   `yaml:"shell"`
	System            *bool  `yaml:"system"`
	HomeDir           text   `yaml:"homedir"`
	NoCreateHome      *bool  `yaml:"no_create_home"`
	Sudo              text   `yaml:"sudo"`
	SSHAuthorizedKeys []text `yaml:"ssh_authorized_keys"`
}

// UnmarshalYAML is part of yaml.Unmarshaler.
func (u *user) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		return node.Decode(&u.Name)
	}
	type plain user
	data, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Errorf("line %d: %w", node.Line, err)
	}
	// A node decodes leniently, whatever its decoder was told.
	if err := strictly(data, (*plain)(u)); err != nil {
		return fmt.Errorf("user in line %d: %w", node.Line, err)
	}
	if u.Name == "" {
		return fmt.Errorf("user in line %d has no name", node.Line)
	}
	return nil
}

var (
	cloudConfigHeader = []byte("#cloud-config\n")
	permissionsForm   = regexp.MustCompile(`^0?[0-7]{3}$`)
	ownerForm         = regexp.MustCompile(`^[a-z_][a-z0-9_-]*(:[a-z_][a-z0-9_-]*)?$`)
	versionForm       = regexp.MustCompile(`^v\d+\.\d+\.\d+$`)
)

func readCloudConfig(data []byte) (*cloudConfig, error) {
	if !bytes.HasPrefix(data, cloudConfigHeader) {
		return nil, refuse(UserData, "it does not begin with #cloud-config")
	}
	config := &cloudConfig{files: map[string][]byte{}}
	if err := strictly(data, config); err != nil {
		return nil, refuse(UserData, "%w", err)
	}
	hosts := []string{"", "true", "false", "localhost", "template"}
	if node := config.ManageEtcHosts; node.Kind != 0 && !slices.Contains(hosts, node.Value) {
		return nil, refuse(UserData, "manage_etc_hosts: %q", node.Value)
	}
	for _, file := range config.WriteFiles {
		content, err := file.decode()
		if err != nil {
			return nil, refuse(UserData, "write_files: %q: %w", file.Path, err)
		}
		if _, twice := config.files[string(file.Path)]; twice && !file.Append {
			return nil, refuse(UserData, "write_files: %q is written twice", file.Path)
		}
		config.files[string(file.Path)] = append(config.files[string(file.Path)], content...)
	}
	if len(config.RunCmd) == 0 {
		return nil, refuse(UserData, "no runcmd: nothing would start kubeadm")
	}
	return config, config.checkCommands()
}

func (f writeFile) decode() ([]byte, error) {
	switch {
	case !path.IsAbs(string(f.Path)):
		return nil, fmt.Errorf("the path is not absolute")
	case f.Permissions != "" && !permissionsForm.MatchString(string(f.Permissions)):
		return nil, fmt.Errorf("permissions %q", f.Permissions)
	case f.Owner != "" && !ownerForm.MatchString(string(f.Owner)):
		return nil, fmt.Errorf("owner %q", f.Owner)
	}
	content := []byte(f.Content)
	switch f.Encoding {
	case "", "text/plain":
		return content, nil
	case "b64", "base64", "gz+b64", "gzip+base64", "gz+base64", "gzip+b64":
	default:
		return nil, fmt.Errorf("encoding %q", f.Encoding)
	}
	data, err := base64.StdEncoding.DecodeString(string(content))
	if err != nil {
		return nil, fmt.Errorf("base64: %w", err)
	}
	if f.Encoding == "b64" || f.Encoding == "base64" {
		return data, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	data, err = io.ReadAll(io.LimitReader(reader, maxDocument))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return data, nil
}

// checkCommands refuses to run a program that nobody has made executable.
func (c *cloudConfig) checkCommands() error {
	for _, file := range c.WriteFiles {
		mode := string(file.Permissions)
		for _, command := range c.RunCmd {
			if len(command) > 0 && command[0] == string(file.Path) && (mode == "" || mode[len(mode)-3]&1 == 0) {
				return refuse(UserData, "runcmd: %s is not executable", file.Path)
			}
		}
	}
	return nil
}

// checkVersions compares versions that a command is told with that of the image, as the command would.
func (c *cloudConfig) checkVersions(image string) error {
	for _, command := range c.RunCmd {
		for _, argument := range command {
			if versionForm.MatchString(argument) && argument != image {
				return refuse(Image, "it has kubeadm %s, the cluster wants %s", image, argument)
			}
		}
	}
	return nil
}
