package hubapi

import (
	"context"
	"net/http"
)

// Custody is a key that the hub keeps with a gateway for those who may administer it. What it encrypts is kept by them and
// never shown to the hub: neither half is worth anything without the other.
type Custody struct {
	// Key has 32 bytes.
	Key []byte `json:"key"`
}

// Custody returns the key that was given into custody with a gateway.
func (c *Client) Custody(ctx context.Context, gatewayID string) (Custody, error) {
	var kept Custody
	if err := checkID(gatewayID); err != nil {
		return kept, err
	}
	err := c.do(ctx, call{method: http.MethodGet, path: pathGateways + "/" + gatewayID + "/custody"}, &kept)
	return kept, err
}

// TakeCustody gives a new key into custody with a gateway, unless there is one, and returns the one that is kept.
func (c *Client) TakeCustody(ctx context.Context, gatewayID string) (Custody, error) {
	var kept Custody
	if err := checkID(gatewayID); err != nil {
		return kept, err
	}
	in := Custody{Key: NewSecret()}
	err := c.do(ctx, call{method: http.MethodPut, path: pathGateways + "/" + gatewayID + "/custody", in: in}, &kept)
	return kept, err
}
