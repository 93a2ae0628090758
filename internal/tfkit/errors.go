package tfkit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// AppendError adds err as a diagnostic "Unable to <verb> <noun>", such as AppendError(diags, "Create", "Cluster", err).
// A problem document's message, hint, code, HTTP status and request id are shown; its field becomes the attribute path.
// A nil err adds nothing.
func AppendError(diags *diag.Diagnostics, verb, noun string, err error) {
	if err == nil {
		return
	}
	summary := fmt.Sprintf("Unable to %s %s", verb, noun)
	attempt := fmt.Sprintf("Could not %s the %s", strings.ToLower(verb), lowerWords(noun))
	var problem *hubapi.Problem
	if !errors.As(err, &problem) {
		diags.AddError(summary, attempt+": "+plainReason(err)+".")
		return
	}
	detail := attempt + ": " + problemText(problem, !hubapi.LostConnection(err))
	if problem.Field == "" {
		diags.AddError(summary, detail)
		return
	}
	at := PathFromPointer(problem.Field)
	diags.AddAttributeError(at, summary, withPlace(detail, at))
}

// AppendProblems adds what the hub found while it previewed a change, each on the attribute that causes it.
func AppendProblems(diags *diag.Diagnostics, problems []hubapi.ClusterProblem) {
	for _, p := range problems {
		at := PathFromPointer(p.Field)
		summary, detail := problemSummary(p.Message)
		detail = withPlace(detail, at)
		switch {
		case p.Severity == hubapi.SeverityWarning && p.Field == "":
			diags.AddWarning(summary, detail)
		case p.Severity == hubapi.SeverityWarning:
			diags.AddAttributeWarning(at, summary, detail)
		case p.Field == "":
			diags.AddError(summary, detail)
		default:
			diags.AddAttributeError(at, summary, detail)
		}
	}
}

// problemSummary makes a heading of a message: its first clause, where that is short enough to be one. A message
// that is all heading needs no detail.
func problemSummary(message string) (summary, detail string) {
	const longest = 120
	head := message
	if i := strings.IndexAny(head, ":;\n"); i > 0 {
		head = head[:i]
	}
	switch {
	case len(head) > longest:
		return "Plan Cannot Be Applied", upperFirst(message)
	case len(head) == len(message):
		return upperFirst(head), ""
	default:
		return upperFirst(head), upperFirst(message)
	}
}

// withPlace adds the attribute's path where it lies in another attribute: the CLI shows only the resource then.
func withPlace(detail string, at path.Path) string {
	if len(at.Steps()) < 2 {
		return detail
	}
	return strings.TrimLeft(detail+"\n\nAttribute: "+at.String(), "\n")
}

// MoveField returns err with the field of its problem document moved from one place of the wire form to another, for
// attributes that do not lie where the wire form has them: MoveField(err, "/trust", "") makes "/trust/insecure"
// "/insecure".
func MoveField(err error, from, to string) error {
	var problem *hubapi.Problem
	if !errors.As(err, &problem) {
		return err
	}
	rest, ok := strings.CutPrefix(problem.Field, from)
	if !ok || (rest != "" && !strings.HasPrefix(rest, "/")) {
		return err
	}
	moved := *problem
	moved.Field = to + rest
	return &moved
}

// problemText shows a problem. One that nobody has answered with has no HTTP status, whatever its code stands for.
func problemText(p *hubapi.Problem, answered bool) string {
	var b strings.Builder
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	b.WriteString(sentence(message))
	if p.Hint != "" {
		b.WriteString("\n\n" + sentence(upperFirst(p.Hint)))
	}
	b.WriteString("\n")
	fmt.Fprintf(&b, "\nError code: %s", p.Code)
	if answered && p.Status != 0 {
		fmt.Fprintf(&b, "\nHTTP status: %d", p.Status)
	}
	if p.RequestID != "" {
		fmt.Fprintf(&b, "\nRequest ID: %s", p.RequestID)
	}
	return b.String()
}

func plainReason(err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "it was interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		return "it took longer than its timeout"
	default:
		return strings.TrimSuffix(err.Error(), ".")
	}
}

func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsRune(".!?:", rune(text[len(text)-1])) {
		return text
	}
	return text + "."
}

// lowerWords lowers words but leaves those that are abbreviations, such as IP.
func lowerWords(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if w != strings.ToUpper(w) {
			words[i] = strings.ToLower(w)
		}
	}
	return strings.Join(words, " ")
}

func upperFirst(text string) string {
	for i, r := range text {
		if i == 0 {
			return string(unicode.ToUpper(r)) + text[len(string(r)):]
		}
	}
	return text
}
