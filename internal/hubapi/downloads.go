package hubapi

import (
	"context"
	"net/http"
)

// Paths, from the hub's root, of what it gives to anybody.
const (
	PathDownloads       = "/v1/downloads"
	PathDownloadGateway = "/v1/downloads/gateway"
)

// Downloads is what a hub gives to anybody who asks.
type Downloads struct {
	// Gateway is the program of a gateway: the hub's own executable.
	Gateway Download `json:"gateway"`
}

// Download is one file.
type Download struct {
	// Path is below the hub's URL.
	Path    string `json:"path"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Version string `json:"version"`
	// SHA256 is in lower-case hex.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Downloads returns what the hub gives to anybody who asks.
func (c *Client) Downloads(ctx context.Context) (*Downloads, error) {
	var d Downloads
	if err := c.do(ctx, call{method: http.MethodGet, root: PathDownloads}, &d); err != nil {
		return nil, err
	}
	return &d, nil
}
