package hubapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// WriteOptions are the conditions of a write.
type WriteOptions struct {
	// Create makes the object; one that exists is taken over only where that resumes an earlier create (the answer then
	// has the id of that one). Without it the object must exist.
	Create bool
	// IfGeneration is the generation the write is based on; 0 is any.
	IfGeneration int64
}

func (o WriteOptions) set(h http.Header) {
	if o.Create {
		h.Set("If-None-Match", "*")
	}
	if o.IfGeneration > 0 {
		h.Set("If-Match", ETag(o.IfGeneration))
	}
}

// ETag is the entity tag of a generation.
func ETag(generation int64) string { return `"g` + strconv.FormatInt(generation, 10) + `"` }

// ParseETag reads what ETag made.
func ParseETag(tag string) (int64, error) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(tag, `"`), `"g`)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 || ETag(n) != tag {
		return 0, fmt.Errorf(`%q is not an entity tag such as "g5"`, tag)
	}
	return n, nil
}

const (
	pathGateways = "/gateways"
	pathAccounts = "/cloud-accounts"
	pathPools    = "/ip-pools"
	pathClusters = "/clusters"
)

// CloudAccount returns a cloud account by id.
func (c *Client) CloudAccount(ctx context.Context, id string) (*CloudAccount, error) {
	return get[CloudAccount](ctx, c, pathAccounts, id)
}

// CloudAccountByName returns a cloud account by name.
func (c *Client) CloudAccountByName(ctx context.Context, name string) (*CloudAccount, error) {
	return byName[CloudAccount](ctx, c, pathAccounts, "cloud account", name)
}

// PutCloudAccount verifies the account through its gateway and keeps it. On create the answer may have another id: that
// of the account of an earlier create; the password sealed for id is then not kept.
func (c *Client) PutCloudAccount(
	ctx context.Context, id string, w CloudAccountWrite, opts WriteOptions,
) (*CloudAccount, error) {
	return put[CloudAccount](ctx, c, pathAccounts, id, w, opts)
}

// DeleteCloudAccount deletes a cloud account that no cluster uses.
func (c *Client) DeleteCloudAccount(ctx context.Context, id string) error {
	return remove(ctx, c, pathAccounts, id)
}

// Inventory reads objects of one kind through a cloud account.
func (c *Client) Inventory(ctx context.Context, accountID string, q InventoryQuery) (*Inventory, error) {
	if err := checkID(accountID); err != nil {
		return nil, err
	}
	query := url.Values{}
	for name, value := range map[string]string{
		"datacenter": q.Datacenter, "compute_cluster": q.ComputeCluster, "accessible_from": q.AccessibleFrom,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var objects Inventory
	path := pathAccounts + "/" + accountID + "/inventory/" + url.PathEscape(string(q.Kind))
	if err := c.do(ctx, call{method: http.MethodGet, path: path, query: query}, &objects); err != nil {
		return nil, err
	}
	return &objects, nil
}

// IPPool returns an address pool by id.
func (c *Client) IPPool(ctx context.Context, id string) (*IPPool, error) {
	return get[IPPool](ctx, c, pathPools, id)
}

// IPPoolByName returns an address pool by name.
func (c *Client) IPPoolByName(ctx context.Context, name string) (*IPPool, error) {
	return byName[IPPool](ctx, c, pathPools, "address pool", name)
}

// PutIPPool keeps an address pool.
func (c *Client) PutIPPool(ctx context.Context, id string, w IPPoolWrite, opts WriteOptions) (*IPPool, error) {
	return put[IPPool](ctx, c, pathPools, id, w, opts)
}

// PreviewIPPool tells what PutIPPool would refuse.
func (c *Client) PreviewIPPool(ctx context.Context, p IPPoolPreview) ([]ClusterProblem, error) {
	var list List[ClusterProblem]
	if err := c.do(ctx, call{method: http.MethodPost, path: pathPools + "/preview", in: p}, &list); err != nil {
		return nil, err
	}
	return list.Items, nil
}

// DeleteIPPool deletes an address pool of which no address is leased.
func (c *Client) DeleteIPPool(ctx context.Context, id string) error {
	return remove(ctx, c, pathPools, id)
}

// Cluster returns a cluster as the hub has it; no gateway is asked.
func (c *Client) Cluster(ctx context.Context, id string) (*Cluster, error) {
	return get[Cluster](ctx, c, pathClusters, id)
}

// RefreshCluster has the gateway look at the cluster and returns what it saw.
func (c *Client) RefreshCluster(ctx context.Context, id string) (*Cluster, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	var cluster Cluster
	err := c.do(ctx, call{method: http.MethodPost, path: pathClusters + "/" + id + "/refresh"}, &cluster)
	if err != nil {
		return nil, err
	}
	return &cluster, nil
}

// ClusterByName returns a cluster by name.
func (c *Client) ClusterByName(ctx context.Context, name string) (*Cluster, error) {
	return byName[Cluster](ctx, c, pathClusters, "cluster", name)
}

// PutCluster keeps what the cluster should be and has the gateway begin. It does not wait: the gateway is done when
// ObservedGeneration reaches Generation. On create the answer may have another id: that of an earlier create that is
// being resumed.
func (c *Client) PutCluster(ctx context.Context, id string, w ClusterWrite, opts WriteOptions) (*Cluster, error) {
	return put[Cluster](ctx, c, pathClusters, id, w, opts)
}

// DeleteCluster has the gateway begin to delete the cluster. It does not wait: the last event of WatchCluster has Gone
// set.
func (c *Client) DeleteCluster(ctx context.Context, id string) error {
	return remove(ctx, c, pathClusters, id)
}

// PreviewCluster tells what an apply would do.
func (c *Client) PreviewCluster(ctx context.Context, p ClusterPreview) (*Preview, error) {
	var preview Preview
	if err := c.do(ctx, call{method: http.MethodPost, path: pathClusters + "/preview", in: p}, &preview); err != nil {
		return nil, err
	}
	return &preview, nil
}

func get[T any](ctx context.Context, c *Client, path, id string) (*T, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	var v T
	if err := c.do(ctx, call{method: http.MethodGet, path: path + "/" + id}, &v); err != nil {
		return nil, err
	}
	return &v, nil
}

func byName[T any](ctx context.Context, c *Client, path, noun, name string) (*T, error) {
	if name == "" {
		return nil, NewProblem(CodeInvalid, "the %s's name is empty", noun)
	}
	var list List[T]
	err := c.do(ctx, call{method: http.MethodGet, path: path, query: url.Values{"name": {name}}}, &list)
	if err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, NewProblem(CodeNotFound, "there is no %s named %q in project %s", noun, name, c.project)
	}
	return &list.Items[0], nil
}

func put[T any](ctx context.Context, c *Client, path, id string, in any, opts WriteOptions) (*T, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	var v T
	if err := c.do(ctx, call{method: http.MethodPut, path: path + "/" + id, in: in, opts: opts}, &v); err != nil {
		return nil, err
	}
	return &v, nil
}

func remove(ctx context.Context, c *Client, path, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	return c.do(ctx, call{method: http.MethodDelete, path: path + "/" + id}, nil)
}
