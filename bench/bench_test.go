// Package bench measures what an apply and a data source cost, in time and in round trips, beside a plain loop of govmomi
// calls on the same simulated vCenter in the same run. Nothing here is asserted: times belong to the machine they were
// taken on, their ratio to the yardstick does not.
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/embedded"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

// row is one line of the table.
type row struct {
	name            string
	ours, raw       time.Duration
	ourCalls, calls int
}

var table []row

func TestMain(m *testing.M) {
	if dir := os.Getenv(fleetVariable); dir != "" {
		if err := runFleetHub(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	if args := os.Getenv(wholeHubVariable); args != "" {
		fmt.Fprintln(os.Stderr, runWholeHub(args))
		os.Exit(1)
	}
	code := m.Run()
	printTable()
	printTunnelTable()
	os.Exit(code)
}

func printTable() {
	if len(table) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "work\ttime\tSOAP calls\tplain loop: time\tSOAP calls\ttime ratio\tcalls ratio\t")
	for _, r := range table {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%.2f\t%.2f\t\n", r.name,
			r.ours.Round(time.Millisecond), r.ourCalls, r.raw.Round(time.Millisecond), r.calls,
			float64(r.ours)/float64(r.raw), float64(r.ourCalls)/float64(max(r.calls, 1)))
	}
	_ = w.Flush()
}

// world is a vCenter with the embedded hub and an account on it.
type world struct {
	vcenter *testkit.VCenter
	client  *hubapi.Client
	account string
}

func newWorld(b *testing.B, vms int) *world {
	b.Helper()
	vcenter := testkit.Start(b, testkit.Options{VMs: vms})
	hub := embedded.New("bench", slog.New(slog.DiscardHandler))
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := hub.Close(ctx); err != nil {
			b.Error(err)
		}
	})
	transport, err := hub.Transport(filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	client, err := hubapi.NewClient(hubapi.Config{Endpoint: "http://hub", Project: "default", Transport: transport})
	if err != nil {
		b.Fatal(err)
	}
	w := &world{vcenter: vcenter, client: client, account: uuid.NewString()}
	w.createAccountAt(b, hubapi.SystemGatewayID)
	return w
}

// createAccountAt makes the account at a gateway.
func (w *world) createAccountAt(b *testing.B, id string) {
	b.Helper()
	gateway, err := w.client.Gateway(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	spec := hubapi.CloudAccountSpec{
		GatewayID: gateway.ID, VCenter: w.vcenter.Host(), Username: w.vcenter.Username(),
		Trust: hubapi.Trust{CACertificate: w.vcenter.CACertificate()},
	}
	sealed, _, err := w.client.SealPassword(b.Context(), w.account, spec, "", w.vcenter.Password())
	if err != nil {
		b.Fatal(err)
	}
	_, err = w.client.PutCloudAccount(b.Context(), w.account,
		hubapi.CloudAccountWrite{Name: "lab", Spec: spec, SealedPassword: sealed}, hubapi.WriteOptions{Create: true})
	if err != nil {
		b.Fatal(err)
	}
}

// measure times f and counts the SOAP calls it makes.
func (w *world) measure(b *testing.B, f func() error) (time.Duration, int) {
	b.Helper()
	w.vcenter.ResetCalls()
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start), w.vcenter.SOAPCalls()
}

func report(b *testing.B, r row) {
	b.Helper()
	table = append(table, r)
	b.ReportMetric(float64(r.ourCalls), "calls")
	b.ReportMetric(float64(r.ours)/float64(r.raw), "x-plain-loop")
}
