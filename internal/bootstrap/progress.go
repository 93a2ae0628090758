package bootstrap

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// Phases of a boot, as a guest reports them.
const (
	PhaseBoot      = "boot"
	PhaseCloudInit = "cloud-init"
	PhaseNetwork   = "net"
	PhaseRuntime   = "containerd"
	PhasePreflight = "preflight"
	// PhaseJoin is all of kubeadm join.
	PhaseJoin = "join"

	// The phases of kubeadm init.
	PhaseCerts        = "certs"
	PhaseKubeconfig   = "kubeconfig"
	PhaseEtcd         = "etcd"
	PhaseControlPlane = "control-plane"
	PhaseKubelet      = "kubelet"
	PhaseAddons       = "addons"
)

// Phases lists the phases of a machine that joins as given, in their usual order; cluster.PhaseJoined is the last.
func Phases(join cluster.JoinMode) []string {
	phases := []string{PhaseBoot, PhaseCloudInit, PhaseNetwork, PhaseRuntime, PhasePreflight}
	if join == cluster.JoinInit {
		phases = append(phases, PhaseCerts, PhaseKubeconfig, PhaseEtcd, PhaseControlPlane, PhaseKubelet, PhaseAddons)
	} else {
		phases = append(phases, PhaseJoin)
	}
	return append(phases, cluster.PhaseJoined)
}

// ErrProgress says that a guest's report does not have the form of one.
var ErrProgress = errors.New("malformed progress report")

const (
	// maxReport is how much of a report is read: a guest's last 600 bytes of log and the fields before them fit twice.
	maxReport = 2048
	maxText   = 1024
)

var phaseForm = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// ParseProgress reads what a guest last wrote under cluster.ProgressKey: "<RFC 3339 time>|<phase>|<status>|<text>".
// A guest that has written nothing yet has no progress, which is no error. What it wrote is untrusted: only known
// statuses and plain phase names are accepted, the text is cut to 1 KiB and holds printable characters only.
func ParseProgress(text string) (cluster.Progress, error) {
	if text == "" {
		return cluster.Progress{}, nil
	}
	if len(text) > maxReport {
		text = text[:maxReport]
	}
	fields := strings.SplitN(text, "|", 4)
	if len(fields) != 4 {
		return cluster.Progress{}, fmt.Errorf("%w: %d fields instead of 4", ErrProgress, len(fields))
	}
	at, err := time.Parse(time.RFC3339, fields[0])
	if at = at.UTC(); err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return cluster.Progress{}, fmt.Errorf("%w: its time cannot be read", ErrProgress)
	}
	if !phaseForm.MatchString(fields[1]) {
		return cluster.Progress{}, fmt.Errorf("%w: its phase is not a name", ErrProgress)
	}
	status := cluster.ProgressStatus(fields[2])
	switch status {
	case cluster.ProgressRunning, cluster.ProgressDone, cluster.ProgressFailed:
	default:
		return cluster.Progress{}, fmt.Errorf("%w: its status is unknown", ErrProgress)
	}
	return cluster.Progress{At: at, Phase: fields[1], Status: status, Text: printable(fields[3])}, nil
}

// FormatProgress writes a report as a guest does, to the second. Whoever plays a guest uses it.
func FormatProgress(p cluster.Progress) string {
	return fmt.Sprintf("%s|%s|%s|%s", p.At.UTC().Format(time.RFC3339), p.Phase, p.Status, printable(p.Text))
}

// printable turns what could change how a message is displayed into spaces, and cuts it at a character's border.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxText {
		cut := maxText
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return strings.TrimSpace(text)
}
