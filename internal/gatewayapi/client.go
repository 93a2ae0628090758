package gatewayapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
)

const (
	// maxReport bounds one line of the event stream, in bytes.
	maxReport = 1 << 20
	// firstReport is the room that is made for a line before one comes: a hub has thousands of streams that are idle.
	firstReport = 2 << 10
	// maxAnswer bounds any other answer, in bytes.
	maxAnswer = 16 << 20
	// answerLimit is how long a gateway may take over an answer, whoever waits for it.
	answerLimit = 2 * time.Minute
	// silenceLimit is how long an event stream may be silent before it counts as dead; a gateway sends a blank line more
	// often.
	silenceLimit = 35 * time.Second
)

// errSilent tells that a gateway has said nothing on its event stream for too long.
var errSilent = errors.New("the gateway's reports have gone silent")

// Client asks one gateway over a transport that leads to it. Info and Events are GET, everything else is POST with a
// JSON body. Answers are JSON with status 200, or no body with 204; errors are problems. Nothing is repeated here:
// whoever asks knows whether that is safe.
type Client struct {
	http *http.Client
}

// NewClient returns a client for the gateway at the other end of the transport.
func NewClient(rt http.RoundTripper) *Client {
	return &Client{http: &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Info asks who the gateway is.
func (c *Client) Info(ctx context.Context) (Info, error) {
	var info Info
	err := c.do(ctx, http.MethodGet, PathInfo, nil, &info)
	return info, err
}

// VerifyAccount has the gateway log in once and check what the account says.
func (c *Client) VerifyAccount(ctx context.Context, account Account) (hubapi.CloudAccountStatus, error) {
	var status hubapi.CloudAccountStatus
	err := c.do(ctx, http.MethodPost, PathVerifyAccount, account, &status)
	return status, err
}

// Inventory reads one kind of object.
func (c *Client) Inventory(ctx context.Context, req InventoryRequest) (inventory.Objects, error) {
	var objects inventory.Objects
	err := c.do(ctx, http.MethodPost, PathInventory, req, &objects)
	return objects, err
}

// Preview asks what working on the assignment would do.
func (c *Client) Preview(ctx context.Context, a Assignment) (hubapi.Preview, error) {
	var preview hubapi.Preview
	err := c.do(ctx, http.MethodPost, PathPreview, a, &preview)
	return preview, err
}

// Observe asks how the cluster is, without working on it.
func (c *Client) Observe(ctx context.Context, a Assignment) (hubapi.ClusterStatus, error) {
	var status hubapi.ClusterStatus
	err := c.do(ctx, http.MethodPost, PathObserve, a, &status)
	return status, err
}

// Assign gives the gateway a cluster to work on. The same generation may be given again; while another one is being
// worked on the error is hubapi.ErrBusy.
func (c *Client) Assign(ctx context.Context, a Assignment) error {
	return c.do(ctx, http.MethodPost, PathAssign, a, nil)
}

// HandOver has the gateway seal the secrets of an account's clusters to another gateway.
func (c *Client) HandOver(ctx context.Context, r HandoverRequest) (HandoverAnswer, error) {
	var answer HandoverAnswer
	err := c.do(ctx, http.MethodPost, PathHandover, r, &answer)
	return answer, err
}

// Anchor has the gateway bind the secrets of an account's clusters to the account as it is now. The answer leaves out
// clusters whose secrets stay as they are.
func (c *Client) Anchor(ctx context.Context, r AnchorRequest) (AnchorAnswer, error) {
	var answer AnchorAnswer
	err := c.do(ctx, http.MethodPost, PathAnchor, r, &answer)
	return answer, err
}

// Ack tells the gateway what is kept.
func (c *Client) Ack(ctx context.Context, ack Ack) error {
	return c.do(ctx, http.MethodPost, PathAck, ack, nil)
}

// Events reads the gateway's reports after the given one, in order, until the stream or the context ends or fn fails. A
// gateway of another boot starts at its first report. The end of the stream is io.ErrUnexpectedEOF: a gateway never
// ends it.
func (c *Client) Events(ctx context.Context, boot string, after int64, fn func(Report) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(silenceLimit, func() { cancel(errSilent) })
	defer silence.Stop()
	query := url.Values{"boot": {boot}, "after": {strconv.FormatInt(after, 10)}}
	resp, err := c.send(ctx, http.MethodGet, PathEvents+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, firstReport), maxReport)
	for lines.Scan() {
		// The caller may take its time over a report; only the gateway's silence counts.
		silence.Stop()
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			silence.Reset(silenceLimit)
			continue
		}
		var report Report
		if err := json.Unmarshal(line, &report); err != nil {
			return fmt.Errorf("reading the gateway's report: %w", err)
		}
		if err := fn(report); err != nil {
			return err
		}
		silence.Reset(silenceLimit)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("reading the gateway's reports: %w", err)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the gateway's reports: %w", err)
	}
	return io.ErrUnexpectedEOF
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	err := c.answer(limited, method, path, in, out)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return hubapi.Unreachable(fmt.Errorf("the gateway has not answered %s within %s: %w", path, answerLimit, err))
	}
	return err
}

func (c *Client) answer(ctx context.Context, method, path string, in, out any) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if out == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	} else {
		err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out)
	}
	if err != nil {
		return hubapi.Unreachable(fmt.Errorf("reading the gateway's answer to %s: %w", path, err))
	}
	return nil
}

// send returns the answer when it is a success; everything else becomes an error that holds a *hubapi.Problem, unless
// the context has ended.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding the request to %s: %w", path, err)
		}
		body = bytes.NewReader(b)
	}
	// The host only fills the URL; the transport leads to one gateway.
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway"+path, body)
	if err != nil {
		return nil, fmt.Errorf("making the request to %s: %w", path, err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if id := hubapi.RequestID(ctx); id != "" {
		req.Header.Set(hubapi.HeaderRequestID, id)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctxErr := ctx.Err(); ctxErr != nil {
			return nil, fmt.Errorf("asking the gateway: %w", errors.Join(ctxErr, err))
		}
		return nil, hubapi.Unreachable(fmt.Errorf("asking the gateway: %w", err))
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	return nil, hubapi.DecodeProblem(resp)
}
