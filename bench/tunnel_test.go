package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tunnel"
)

// rounds is how often ours and the yardstick are measured in turn. What is reported is the median of the ratios.
const rounds = 5

// slice is how long one measurement of bytes takes.
const slice = 800 * time.Millisecond

// BenchmarkTunnelRequests sends small requests one after the other, beside HTTP/2 over one mutual TLS.
func BenchmarkTunnelRequests(b *testing.B) {
	for b.Loop() {
		w := newWire(b, 0)
		ours, raw := w.tunnel(tunnel.ClassControl), w.direct()
		var samples, yardstick []time.Duration
		var ratios []float64
		for range rounds {
			r, o := latencies(b, raw, 1000), latencies(b, ours, 1000)
			samples, yardstick = append(samples, o...), append(yardstick, r...)
			ratios = append(ratios, float64(quantile(o, 0.5))/float64(quantile(r, 0.5)))
		}
		for _, q := range []float64{0.5, 0.99} {
			ratio, goal := float64(quantile(samples, q))/float64(quantile(yardstick, q)), ""
			if q == 0.5 {
				ratio, goal = quantile(ratios, 0.5), "<= 1.5"
				b.ReportMetric(ratio, "x-direct")
			}
			tunnelTable = append(tunnelTable, tunnelRow{
				work: fmt.Sprintf("small request, p%.0f", q*100), ours: micro(quantile(samples, q)), raw: micro(quantile(yardstick, q)),
				ratio: fmt.Sprintf("%.2f", ratio), goal: goal,
			})
		}
	}
}

// BenchmarkTunnelBulk carries bytes in one stream, beside one mutual TLS with no HTTP in it, and beside HTTP/2 over that.
func BenchmarkTunnelBulk(b *testing.B) {
	for _, way := range []struct {
		name  string
		delay time.Duration
		goal  string
	}{
		{name: "loopback", goal: ">= 0.45 of TLS"}, {name: "40 ms round trip", delay: 20 * time.Millisecond, goal: ">= 150 MB/s"},
	} {
		b.Run(strings.Fields(way.name)[0], func(b *testing.B) {
			for b.Loop() {
				w := newWire(b, way.delay)
				ours, http2 := w.tunnel(tunnel.ClassBulk), w.direct()
				near, far := w.pipe()
				compare(b, "bulk up, "+way.name, way.goal, func() float64 { return uploaded(b, ours) },
					func() float64 { return piped(b, far, near) }, func() float64 { return uploaded(b, http2) })
				compare(b, "bulk down, "+way.name, way.goal, func() float64 { return downloaded(b, ours) },
					func() float64 { return piped(b, near, far) }, func() float64 { return downloaded(b, http2) })
			}
		})
	}
}

// BenchmarkTunnelBeside sends small requests while eight bulk streams run in the class for that, and while forty consumers
// stall in the very connection.
func BenchmarkTunnelBeside(b *testing.B) {
	for b.Loop() {
		w := newWire(b, 0)
		control, bulk := w.tunnel(tunnel.ClassControl), w.tunnel(tunnel.ClassBulk)
		stop, carried := busy(b, bulk, 8, "/take", true)
		wait(slice) // until all run
		before, began := carried(), time.Now()
		samples := latencies(b, control, 10_000)
		beside("8 bulk streams", samples, 0.5, "< 10 ms")
		beside("8 bulk streams", samples, 0.99, "")
		tunnelTable = append(tunnelTable, tunnelRow{
			work: "8 bulk streams meanwhile", ours: speed(float64(carried()-before) / time.Since(began).Seconds()),
		})
		stop()
		stop, _ = busy(b, control, 40, "/wait", false)
		wait(slice) // until all stall
		samples = latencies(b, control, 10_000)
		stop()
		beside("40 stalled consumers", samples, 0.5, "")
		beside("40 stalled consumers", samples, 0.99, "< 50 ms")
	}
}

func beside(what string, samples []time.Duration, q float64, goal string) {
	tunnelTable = append(tunnelTable, tunnelRow{
		work: fmt.Sprintf("small request beside %s, p%.0f", what, q*100), ours: micro(quantile(samples, q)), goal: goal,
	})
}

// compare measures ours between two measurements of TLS, and HTTP/2 for those who want to know what the tunnel itself costs.
func compare(b *testing.B, work, goal string, ours, raw, http2 func() float64) {
	b.Helper()
	var speeds, yardstick, requests, ratios, others []float64
	for range rounds {
		before, o, h, after := raw(), ours(), http2(), raw()
		speeds, yardstick, requests = append(speeds, o), append(yardstick, before, after), append(requests, h)
		ratios, others = append(ratios, 2*o/(before+after)), append(others, o/h)
	}
	tunnelTable = append(tunnelTable,
		tunnelRow{
			work: work + ", TLS", ours: speed(quantile(speeds, 0.5)), raw: speed(quantile(yardstick, 0.5)),
			ratio: fmt.Sprintf("%.2f", quantile(ratios, 0.5)), goal: goal,
		},
		tunnelRow{
			work: work + ", HTTP/2", ours: speed(quantile(speeds, 0.5)), raw: speed(quantile(requests, 0.5)),
			ratio: fmt.Sprintf("%.2f", quantile(others, 0.5)),
		})
	b.ReportMetric(quantile(ratios, 0.5), "x-TLS")
}

// latencies are those of so many small requests, one after the other.
func latencies(b *testing.B, transport http.RoundTripper, count int) []time.Duration {
	b.Helper()
	body := strings.Repeat("x", 256)
	samples := make([]time.Duration, 0, count)
	for range count {
		start := time.Now()
		response := do(b.Context(), b, transport, "/echo", strings.NewReader(body))
		_, err := io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		samples = append(samples, time.Since(start))
	}
	return samples
}

func do(ctx context.Context, b *testing.B, transport http.RoundTripper, path string, body io.Reader) *http.Response {
	b.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway"+path, body)
	if err != nil {
		b.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		b.Fatal(err)
	}
	return response
}

// uploaded is how many bytes a second a gateway takes in one request.
func uploaded(b *testing.B, transport http.RoundTripper) float64 {
	b.Helper()
	start := time.Now()
	response := do(b.Context(), b, transport, "/take", until{start.Add(slice)})
	var total float64
	if _, err := fmt.Fscan(response.Body, &total); err != nil {
		b.Fatal(err)
	}
	_ = response.Body.Close()
	return total / time.Since(start).Seconds()
}

// downloaded is how many bytes a second a gateway gives in one answer.
func downloaded(b *testing.B, transport http.RoundTripper) float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	start := time.Now()
	response := do(ctx, b, transport, "/give", http.NoBody)
	stop := time.AfterFunc(slice, cancel)
	defer stop.Stop()
	total, _ := take(response.Body)
	took := time.Since(start)
	_ = response.Body.Close()
	return float64(total) / took.Seconds()
}

// piped is how many bytes a second go from one end of a connection to the other.
func piped(b *testing.B, to, from net.Conn) float64 {
	b.Helper()
	const mark = 1
	start := time.Now()
	var writing sync.WaitGroup
	writing.Go(func() {
		buffer := make([]byte, 64<<10)
		for time.Since(start) < slice {
			if _, err := from.Write(buffer); err != nil {
				b.Error(err)
				return
			}
		}
		_, _ = from.Write([]byte{mark})
	})
	buffer := make([]byte, 256<<10)
	var total float64
	for {
		n, err := to.Read(buffer)
		if err != nil {
			b.Fatal(err)
		}
		total += float64(n)
		if buffer[n-1] == mark {
			break
		}
	}
	writing.Wait()
	return total / time.Since(start).Seconds()
}

// busy starts requests until it is told to stop: uploads to a path and downloads in turn, the latter read or not. It counts the
// bytes that it sent and read.
func busy(b *testing.B, transport http.RoundTripper, count int, path string, read bool) (stop func(), carried func() int64) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var total atomic.Int64
	for i := range count {
		group.Go(func() {
			target, body := path, io.Reader(counted{until{time.Now().Add(time.Hour)}, &total})
			if i%2 == 1 {
				target, body = "/give", http.NoBody
			}
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gateway"+target, body)
			if err != nil {
				b.Error(err)
				return
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				return
			}
			if read {
				_, _ = take(counted{response.Body, &total})
			}
			<-ctx.Done()
			_ = response.Body.Close()
		})
	}
	return func() {
		cancel()
		group.Wait()
	}, total.Load
}

// counted counts what is read.
type counted struct {
	io.Reader

	total *atomic.Int64
}

// Read implements io.Reader.
func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.total.Add(int64(n))
	return n, err
}

func quantile[T float64 | time.Duration](samples []T, q float64) T {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func micro(d time.Duration) string { return d.Round(time.Microsecond).String() }

func speed(bytes float64) string { return fmt.Sprintf("%.0f MB/s", bytes/1e6) }
