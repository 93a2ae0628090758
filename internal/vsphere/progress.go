package vsphere

import (
	"strings"
	"time"
	"unicode"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/cluster"
)

// maxProgress bounds what is taken of a guest's report: it is untrusted text.
const maxProgress = 1024

// parseProgress reads "<RFC 3339 time>|<phase>|<status>|<text>"; what does not have that form says nothing.
func parseProgress(text string) cluster.Progress {
	parts := strings.SplitN(text, "|", 4)
	if len(parts) < 3 {
		return cluster.Progress{}
	}
	at, err := time.Parse(time.RFC3339, parts[0])
	if err != nil {
		return cluster.Progress{}
	}
	out := cluster.Progress{At: at.UTC(), Phase: printable(parts[1]), Status: cluster.ProgressStatus(printable(parts[2]))}
	if len(parts) == 4 {
		out.Text = printable(parts[3])
	}
	return out
}

func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	runes := []rune(text)
	return string(runes[:min(maxProgress, len(runes))])
}
