package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// verbs are the kinds of operation as a person says them.
var verbs = map[Kind]string{
	KindCreateFolder: "create folder",
	KindClone:        "clone",
	KindAwait:        "wait for",
	KindReplace:      "replace",
	KindReconfigure:  "reconfigure",
	KindRelocate:     "move",
	KindPowerOn:      "power on",
	KindLabel:        "label",
	KindDestroy:      "destroy",
	KindDeleteFolder: "delete folder",
}

// Summarize gives a line for each run of operations that differ in nothing but the machine, for people:
//
//	clone prod-general-3 from ubuntu-2404-kube-1.34.1 (linked: snapshot present, same disk size)
//	replace prod-general-{0,1,2}, one at a time: template changes
func Summarize(ops []Operation) []string {
	var lines []string
	for i := 0; i < len(ops); {
		names := []string{ops[i].Machine}
		end := i + 1
		for ; end < len(ops) && alike(ops[i], ops[end]); end++ {
			names = append(names, ops[end].Machine)
		}
		lines = append(lines, line(ops[i], braces(names)))
		i = end
	}
	return lines
}

// alike tells whether two operations are one line. Folders are no machines of a pool, and are named in full.
func alike(a, b Operation) bool {
	return a.Pool != "" && a.Kind == b.Kind && a.Pool == b.Pool && a.Detail == b.Detail && a.Reason == b.Reason
}

func line(op Operation, machines string) string {
	text := verbs[op.Kind] + " " + machines
	switch {
	case op.Detail == "":
	case op.Kind == KindClone || op.Kind == KindRelocate:
		text += " " + op.Detail
	default:
		text += ", " + op.Detail
	}
	// That a machine is missing is what cloning it says already.
	if op.Reason != "" && op.Kind != KindClone {
		text += ": " + op.Reason
	}
	return text
}

// minRun is the length from which a run of numbers is written as its ends.
const minRun = 5

// braces writes several names as one: their common start, and the rest in braces.
func braces(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	prefix := names[0]
	for _, name := range names[1:] {
		for !strings.HasPrefix(name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	prefix = prefix[:strings.LastIndexAny(prefix, "-/")+1]
	var parts []string
	for i := 0; i < len(names); {
		end := i + 1
		for end < len(names) && follows(names[end-1][len(prefix):], names[end][len(prefix):]) {
			end++
		}
		if end-i >= minRun {
			parts = append(parts, fmt.Sprintf("%s..%s", names[i][len(prefix):], names[end-1][len(prefix):]))
			i = end
			continue
		}
		parts = append(parts, names[i][len(prefix):])
		i++
	}
	return prefix + "{" + strings.Join(slices.Compact(parts), ",") + "}"
}

func follows(a, b string) bool {
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	return errX == nil && errY == nil && y == x+1
}
