package testkit

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP proxy in front of a vCenter, to break connections with.
type Proxy struct {
	listener net.Listener
	target   string
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	pairs   map[*pair]bool
	stalled chan struct{}
	swallow bool
}

// pair is one connection of a client and the one to the server that belongs to it.
type pair struct{ client, server net.Conn }

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// Proxy starts a proxy that ends with the test.
func (vc *VCenter) Proxy(tb testing.TB) *Proxy {
	tb.Helper()
	proxy, err := vc.runProxy(vc.ctx)
	if err != nil {
		tb.Fatalf("starting the proxy: %v", err)
	}
	tb.Cleanup(proxy.Close)
	return proxy
}

func (vc *VCenter) runProxy(ctx context.Context) (*Proxy, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	p := &Proxy{listener: listener, target: vc.Host(), pairs: map[*pair]bool{}}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.work.Go(p.accept)
	vc.proxies.Store(p, true)
	return p, nil
}

// URL is the proxy's address with scheme, without path. The vCenter's certificate is good for it.
func (p *Proxy) URL() string { return "https://" + p.Host() }

// Host is the proxy's host:port.
func (p *Proxy) Host() string { return p.listener.Addr().String() }

// Close ends the proxy and all its connections.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.listener.Close()
	p.Cut()
	p.work.Wait()
}

// Cut closes all connections. New ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pair.close()
	}
}

// Stall stops all bytes in both directions, of new connections too, until Resume.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Resume ends Stall.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

// SwallowNextResponse loses the response of the next SOAP call that comes through the proxy: the call is executed, then its
// connection is cut.
func (p *Proxy) SwallowNextResponse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow = true
}

// swallows tells whether the response to a client is to be lost. Only the server knows where one call ends and another
// begins, so it asks.
func (p *Proxy) swallows(remote string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.swallow {
		return false
	}
	for pair := range p.pairs {
		if pair.server.LocalAddr().String() == remote {
			p.swallow = false
			return true
		}
	}
	return false
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.connect(client) })
	}
}

func (p *Proxy) connect(client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	pair := &pair{client: client, server: server}
	p.mu.Lock()
	p.pairs[pair] = true
	ended := p.ctx.Err() != nil
	p.mu.Unlock()
	if ended {
		pair.close()
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(pair, server, client) })
	both.Go(func() { p.copy(pair, client, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, pair)
	p.mu.Unlock()
}

// copy moves bytes until one side ends; then both do.
func (p *Proxy) copy(pair *pair, to io.Writer, from io.Reader) {
	defer pair.close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.wait()
			if _, werr := to.Write(buffer[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			p.wait()
			return
		}
	}
}

// wait waits while the proxy is stalled.
func (p *Proxy) wait() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled == nil {
		return
	}
	select {
	case <-stalled:
	case <-p.ctx.Done():
	}
}
