package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gatewayapi"
)

func seqs(reports []gatewayapi.Report) []int64 {
	var s []int64
	for _, r := range reports {
		s = append(s, r.Seq)
	}
	return s
}

func TestReportLogCursor(t *testing.T) {
	log := newReportLog(time.Now)
	for range 5 {
		log.publish(gatewayapi.Report{})
	}
	log.ack(gatewayapi.Ack{Boot: log.boot, Seq: 2})
	cases := map[string]struct {
		reason string
		ack    *gatewayapi.Ack
		after  int64
		want   []int64
	}{
		"FromStart":   {"what is acknowledged is not sent again", nil, 0, []int64{3, 4, 5}},
		"FromCursor":  {"a reader goes on where it was", nil, 4, []int64{5}},
		"AtEnd":       {"nothing new", nil, 5, nil},
		"AheadOfLog":  {"a cursor of another life finds nothing", nil, 9, nil},
		"ForeignBoot": {"an acknowledgement for another life drops nothing", &gatewayapi.Ack{Boot: "other", Seq: 5}, 0, []int64{3, 4, 5}},
		"TooFar":      {"what was never sent cannot be acknowledged", &gatewayapi.Ack{Boot: log.boot, Seq: 6}, 0, []int64{3, 4, 5}},
		"Backwards":   {"an old acknowledgement changes nothing", &gatewayapi.Ack{Boot: log.boot, Seq: 1}, 0, []int64{3, 4, 5}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.ack != nil {
				log.ack(*tc.ack)
			}
			got, _, _ := log.after(tc.after)
			if diff := cmp.Diff(tc.want, seqs(got)); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
}

func TestReportLogKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newReportLog(time.Now)
		seq := log.publish(gatewayapi.Report{})
		done := make(chan error, 1)
		go func() { done <- log.kept(t.Context(), seq) }()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("kept before the hub said so: %v", err)
		default:
		}
		log.ack(gatewayapi.Ack{Boot: log.boot, Seq: seq})
		if err := <-done; err != nil {
			t.Fatal(err)
		}

		seq = log.publish(gatewayapi.Report{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := log.kept(ctx, seq); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a hub that does not answer: got %v", err)
		}
		go log.close()
		if err := log.kept(t.Context(), seq); !errors.Is(err, errClosed) {
			t.Errorf("a gateway that goes down: got %v", err)
		}
	})
}
