package payload

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
)

// Gateway is what a guest has understood that is to become a gateway.
type Gateway struct {
	Payload
	// Hub is the hub's URL, CA what it is believed by.
	Hub, CA string
	// Token is the pairing token, Digest the SHA-256 that the program must have.
	Token, Digest string
	// Proxy is the proxy to the hub; "" is none.
	Proxy string
	// Trusted are authorities that the guest believes, Servers its time servers.
	Trusted, Servers []string
}

const (
	gatewayToken       = "/etc/palette-gateway/pairing-token"
	gatewayEnvironment = "/etc/palette-gateway/environment"
	gatewayCA          = "/etc/palette-gateway/hub-ca.pem"
	gatewayUnit        = "/etc/systemd/system/palette-gateway.service"
	gatewayScript      = "/usr/local/sbin/palette-gateway-install"
)

// ReadGateway reads guestinfo values of a gateway. It is nil when they are meant for something else.
func ReadGateway(values map[string]string, machine Machine) (*Gateway, error) {
	user, err := decoded(values, "guestinfo.userdata", "base64", "gzip+base64")
	if err != nil || !bytes.Contains(user, []byte(gatewayToken)) {
		return nil, nil //nolint:nilnil,nilerr // documented: whoever it is meant for says what is wrong with it
	}
	meta, err := decoded(values, "guestinfo.metadata", "base64")
	if err != nil {
		return nil, err
	}
	g := &Gateway{}
	if err := g.readMetadata(meta, machine); err != nil {
		return nil, err
	}
	config, err := readCloudConfig(user)
	if err != nil {
		return nil, err
	}
	return g, g.readFiles(config)
}

func (g *Gateway) readFiles(config *cloudConfig) error {
	for _, path := range []string{gatewayToken, gatewayEnvironment, gatewayUnit, gatewayScript} {
		if len(config.files[path]) == 0 {
			return refuse(UserData, "there is no %s", path)
		}
	}
	for _, file := range config.WriteFiles {
		if secret := string(file.Path) == gatewayToken || string(file.Path) == gatewayEnvironment; secret && file.Permissions != "0600" {
			return refuse(UserData, "%s has mode %q: others could read it", file.Path, file.Permissions)
		}
	}
	runs := func(words ...string) bool {
		return slices.ContainsFunc(config.RunCmd, func(c command) bool { return slices.Equal(c, words) })
	}
	if !runs(gatewayScript) || !runs("systemctl", "enable", "--now", "palette-gateway.service") {
		return refuse(UserData, "nothing installs and starts the gateway: %v", config.RunCmd)
	}
	if !slices.ContainsFunc(config.Users, func(u user) bool { return u.Name == "palette-gateway" && u.System != nil && *u.System }) {
		return refuse(UserData, "the user of the gateway's unit is not made")
	}
	lines := bufio.NewScanner(bytes.NewReader(config.files[gatewayEnvironment]))
	for lines.Scan() {
		switch name, value, _ := strings.Cut(lines.Text(), "="); name {
		case "PALETTE_HUB":
			g.Hub = strings.Trim(value, `'"`)
		case "HTTPS_PROXY":
			g.Proxy = strings.Trim(value, `'"`)
		}
	}
	g.Token = strings.TrimSpace(string(config.files[gatewayToken]))
	g.CA = string(config.files[gatewayCA])
	if _, after, ok := strings.Cut(string(config.files[gatewayScript]), "echo '"); ok {
		g.Digest, _, _ = strings.Cut(after, "'")
	}
	for _, trusted := range config.CACerts.Trusted {
		g.Trusted = append(g.Trusted, string(trusted))
	}
	if config.NTP != nil {
		for _, server := range config.NTP.Servers {
			g.Servers = append(g.Servers, string(server))
		}
	}
	if g.Hub == "" || g.Token == "" {
		return refuse(UserData, "the hub or the token is missing")
	}
	return nil
}
