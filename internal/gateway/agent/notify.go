package agent

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells the service manager, where there is one that asks for it, that the process runs, and that it still does.
// It speaks sd_notify's protocol: datagrams to a socket that the environment names.
func (a *agent) notify(ctx context.Context) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		<-ctx.Done()
		return ctx.Err()
	}
	say := func(word string) {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
		if err == nil {
			_, err = conn.Write([]byte(word))
			_ = conn.Close()
		}
		if err != nil {
			a.log.WarnContext(ctx, "service manager not told", "error", err)
		}
	}
	say("READY=1")
	defer say("STOPPING=1")
	every, ok := watchdogInterval(os.Getenv("WATCHDOG_USEC"))
	if !ok {
		<-ctx.Done()
		return ctx.Err()
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			_ = a.status() // takes every lock there is: a process that is stuck does not get past it
			say("WATCHDOG=1")
		}
	}
}

// watchdogInterval is a third of the time after which a silent process is restarted.
func watchdogInterval(text string) (time.Duration, bool) {
	micros, err := strconv.ParseInt(text, 10, 64)
	if err != nil || micros <= 0 {
		return 0, false
	}
	return time.Duration(micros) * time.Microsecond / 3, true
}
