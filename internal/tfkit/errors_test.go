package tfkit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/tfkit"
)

func TestAppendError(t *testing.T) {
	problem := &hubapi.Problem{
		Title: "In use", Status: 409, Code: hubapi.CodeInUse, Detail: "the account is used by cluster prod",
		RequestID: "req-1", Hint: "delete the cluster first",
	}
	at := *problem
	at.Field = "/verify/datacenter"
	const text = "Could not delete the cloud account: the account is used by cluster prod.\n\nDelete the cluster first.\n" +
		"\nError code: in_use\nHTTP status: 409\nRequest ID: req-1"

	cases := map[string]struct {
		reason string
		err    error
		want   diag.Diagnostics
	}{
		"Nil": {
			reason: "No error is no diagnostic.",
		},
		"Problem": {
			reason: "A problem shows its message, hint, code, status and request id.",
			err:    problem,
			want:   diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account", text)},
		},
		"Wrapped": {
			reason: "A wrapped problem is found.",
			err:    fmt.Errorf("deleting: %w", problem),
			want:   diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account", text)},
		},
		"Field": {
			reason: "A field becomes the attribute's path, which is said where the CLI would not show it.",
			err:    &at,
			want: diag.Diagnostics{diag.NewAttributeErrorDiagnostic(
				path.Root("verify").AtName("datacenter"), "Unable to Delete Cloud Account",
				text+"\n\nAttribute: verify.datacenter")},
		},
		"Title": {
			reason: "A problem without detail shows its title.",
			err:    &hubapi.Problem{Title: "Bad gateway", Status: 502, Code: hubapi.CodeInternal},
			want: diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account",
				"Could not delete the cloud account: Bad gateway.\n\nError code: internal\nHTTP status: 502")},
		},
		"Lost": {
			reason: "A connection that failed has no status: nobody has answered.",
			err:    hubapi.Unreachable(errors.New("no route to the hub")),
			want: diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account",
				"Could not delete the cloud account: no route to the hub.\n\nError code: unreachable")},
		},
		"Canceled": {
			reason: "Ctrl-C is said in plain words.",
			err:    fmt.Errorf("waiting: %w", context.Canceled),
			want: diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account",
				"Could not delete the cloud account: it was interrupted.")},
		},
		"Deadline": {
			reason: "A timeout is said in plain words.",
			err:    context.DeadlineExceeded,
			want: diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account",
				"Could not delete the cloud account: it took longer than its timeout.")},
		},
		"Plain": {
			reason: "Any other error shows its chain.",
			err:    errors.New("connection refused"),
			want: diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Delete Cloud Account",
				"Could not delete the cloud account: connection refused.")},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got diag.Diagnostics
			tfkit.AppendError(&got, "Delete", "Cloud Account", tc.err)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nAppendError(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAppendErrorKeepsAbbreviations(t *testing.T) {
	var got diag.Diagnostics
	tfkit.AppendError(&got, "Create", "IP Pool", errors.New("boom"))
	want := diag.Diagnostics{diag.NewErrorDiagnostic("Unable to Create IP Pool", "Could not create the IP pool: boom.")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("AppendError(...): -want, +got:\n%s", diff)
	}
}

func TestAppendProblems(t *testing.T) {
	const long = "this is one long clause that goes on and on, without a colon in it anywhere, so that nobody would want to read " +
		"it as the heading of an error"
	cases := map[string]struct {
		reason  string
		problem hubapi.ClusterProblem
		want    diag.Diagnostic
	}{
		"ErrorOnAttribute": {
			reason: "An error lands on the attribute that causes it, its first clause as heading.",
			problem: hubapi.ClusterProblem{
				Severity: hubapi.SeverityError, Field: "/control_plane/count", Message: "even control plane: 2 machines cannot vote",
			},
			want: diag.NewAttributeErrorDiagnostic(path.Root("control_plane").AtName("count"),
				"Even control plane", "Even control plane: 2 machines cannot vote\n\nAttribute: control_plane.count"),
		},
		"WarningOnAttribute": {
			reason: "A warning stays a warning; a message that is all heading needs no detail.",
			problem: hubapi.ClusterProblem{
				Severity: hubapi.SeverityWarning, Field: "/template", Message: "template has no snapshot",
			},
			want: diag.NewAttributeWarningDiagnostic(path.Root("template"), "Template has no snapshot", ""),
		},
		"ErrorOnAll": {
			reason:  "Without a field the whole object is meant.",
			problem: hubapi.ClusterProblem{Severity: hubapi.SeverityError, Message: "names are taken"},
			want:    diag.NewErrorDiagnostic("Names are taken", ""),
		},
		"WarningOnAll": {
			reason:  "A warning without a field is a warning on the whole object.",
			problem: hubapi.ClusterProblem{Severity: hubapi.SeverityWarning, Message: "slow storage"},
			want:    diag.NewWarningDiagnostic("Slow storage", ""),
		},
		"LongMessage": {
			reason: "A message without a short clause is not made a heading.",
			problem: hubapi.ClusterProblem{
				Severity: hubapi.SeverityError,
				Message:  long,
			},
			want: diag.NewErrorDiagnostic("Plan Cannot Be Applied",
				"T"+long[1:]),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got diag.Diagnostics
			tfkit.AppendProblems(&got, []hubapi.ClusterProblem{tc.problem})
			if diff := cmp.Diff(diag.Diagnostics{tc.want}, got); diff != "" {
				t.Errorf("%s\nAppendProblems(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMoveField(t *testing.T) {
	errBoom := errors.New("boom")
	cases := map[string]struct {
		reason string
		err    error
		want   error
	}{
		"Moves": {
			reason: "A field below the place is moved.",
			err:    &hubapi.Problem{Field: "/trust/thumbprints/0"},
			want:   &hubapi.Problem{Field: "/thumbprints/0"},
		},
		"Whole": {
			reason: "The place itself is moved.",
			err:    &hubapi.Problem{Field: "/trust"},
			want:   &hubapi.Problem{},
		},
		"OtherName": {
			reason: "A name that only starts alike is left alone.",
			err:    &hubapi.Problem{Field: "/trusted"},
			want:   &hubapi.Problem{Field: "/trusted"},
		},
		"Plain": {
			reason: "An error without a field is returned as it is.",
			err:    errBoom,
			want:   errBoom,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := tfkit.MoveField(tc.err, "/trust", "")
			var problem *hubapi.Problem
			if !errors.As(got, &problem) {
				if !errors.Is(got, tc.want) {
					t.Errorf("%s\nMoveField(...): want %v, got %v", tc.reason, tc.want, got)
				}
				return
			}
			if diff := cmp.Diff(tc.want, error(problem)); diff != "" {
				t.Errorf("%s\nMoveField(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
