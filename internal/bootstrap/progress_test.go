package bootstrap_test

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/bootstrap"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

func TestParseProgress(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		reason string
		text   string
		want   cluster.Progress
		bad    bool
	}{
		{reason: "a guest that has said nothing is no error"},
		{
			reason: "an ordinary report", text: "2026-01-02T03:04:05Z|join|run|kubeadm join: kubelet-start",
			want: cluster.Progress{At: at, Phase: "join", Status: cluster.ProgressRunning, Text: "kubeadm join: kubelet-start"},
		},
		{
			reason: "the last one, without text", text: "2026-01-02T03:04:05Z|joined|ok|",
			want: cluster.Progress{At: at, Phase: "joined", Status: cluster.ProgressDone},
		},
		{
			reason: "separators in the text stay", text: "2026-01-02T04:04:05+01:00|net|fail|a|b",
			want: cluster.Progress{At: at, Phase: "net", Status: cluster.ProgressFailed, Text: "a|b"},
		},
		{
			reason: "control, escape and direction characters and broken UTF-8 become spaces",
			text:   "2026-01-02T03:04:05Z|net|run|a\x1b[31mb\nc\u202ed\xffe\x00",
			want:   cluster.Progress{At: at, Phase: "net", Status: cluster.ProgressRunning, Text: "a [31mb c d e"},
		},
		{
			reason: "a long text is cut", text: "2026-01-02T03:04:05Z|net|run|" + strings.Repeat("x", 60<<10),
			want: cluster.Progress{At: at, Phase: "net", Status: cluster.ProgressRunning, Text: strings.Repeat("x", 1024)},
		},
		{
			reason: "and not within a character", text: "2026-01-02T03:04:05Z|net|run|x" + strings.Repeat("ä", 1000),
			want: cluster.Progress{At: at, Phase: "net", Status: cluster.ProgressRunning, Text: "x" + strings.Repeat("ä", 511)},
		},
		{reason: "too few fields", text: "2026-01-02T03:04:05Z|net|run", bad: true},
		{reason: "no time", text: "now|net|run|x", bad: true},
		{reason: "a phase that is no name", text: "2026-01-02T03:04:05Z|${net}|run|x", bad: true},
		{reason: "a phase that is too long", text: "2026-01-02T03:04:05Z|" + strings.Repeat("n", 33) + "|run|x", bad: true},
		{reason: "an unknown status", text: "2026-01-02T03:04:05Z|net|done|x", bad: true},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			got, err := bootstrap.ParseProgress(tt.text)
			if tt.bad != errors.Is(err, bootstrap.ErrProgress) || !tt.bad && err != nil {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseProgress(f *testing.F) {
	f.Add("2026-01-02T03:04:05Z|net|run|waiting for an address")
	f.Add("2026-01-02T03:04:05.5+14:00|joined|ok|")
	f.Add("2026-01-02T03:04:05Z|net|fail|\xff\u202e|\n" + strings.Repeat("ä", 700))
	f.Add("0000-01-01T0:00:00+01:00|net|ok|")
	f.Add("9999-12-31T23:59:59-01:00|net|ok|")
	f.Add("|||")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := bootstrap.ParseProgress(text)
		if err != nil {
			if !errors.Is(err, bootstrap.ErrProgress) {
				t.Fatalf("error of another kind: %v", err)
			}
			if diff := cmp.Diff(cluster.Progress{}, p); diff != "" {
				t.Fatal(diff)
			}
			return
		}
		if len(p.Text) > 1024 || !utf8.ValidString(p.Text) || strings.ContainsFunc(p.Text, unicode.IsControl) {
			t.Fatalf("text %q", p.Text)
		}
		if text == "" {
			return
		}
		// What was read once reads the same again, to the second.
		again, err := bootstrap.ParseProgress(bootstrap.FormatProgress(p))
		if err != nil {
			t.Fatal(err)
		}
		p.At = p.At.Truncate(time.Second)
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestPhases(t *testing.T) {
	for _, join := range joins {
		phases := bootstrap.Phases(join)
		if phases[0] != "boot" || phases[len(phases)-1] != cluster.PhaseJoined {
			t.Errorf("%s: %v", join, phases)
		}
	}
}
