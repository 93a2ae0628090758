// Command vcsim runs the simulated vCenter of the demo, with guests, until it is told to stop.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/testkit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vcsim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	listen := flag.String("listen", "127.0.0.1:0", "`host:port` to listen on")
	ready := flag.String("ready-file", "", "`file` to write, as JSON, once the vCenter answers; the CA goes beside it")
	phase := flag.Duration("phase-delay", 300*time.Millisecond, "how long each phase of a guest's boot takes")
	clone := flag.Duration("clone-delay", time.Second, "how long a clone takes")
	flag.Parse()

	vc, err := testkit.Run(ctx, testkit.Options{
		Listen: *listen, CloneDelay: *clone,
		Guests: testkit.GuestOptions{PhaseDelay: *phase, OnReport: func(r testkit.Report) {
			fmt.Printf("%s %-24s %-14s %-4s %s\n", time.Now().Format(time.TimeOnly), r.VM, r.Phase, r.Status, r.Text)
		}},
	})
	if err != nil {
		return err
	}
	defer vc.Close()
	fmt.Println("vCenter:", vc.URL())
	if *ready != "" {
		if err := vc.Announce(*ready); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}
