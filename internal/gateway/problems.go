package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/inventory"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

// asProblem says in the API's words what went wrong next to the vCenter.
func asProblem(err error) *hubapi.Problem {
	var problem *hubapi.Problem
	var untrusted *vsphere.UntrustedError
	var unreachable *vsphere.UnreachableError
	var forbidden *vsphere.ForbiddenAddressError
	var missing *vsphere.NotFoundError
	var ambiguous *vsphere.AmbiguousError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(err, vsphere.ErrCredentials):
		return &hubapi.Problem{
			Status: http.StatusUnprocessableEntity, Code: hubapi.CodeCredentials, Title: "Login refused", Field: "/password_wo",
			Detail: err.Error(),
			Hint:   "Nothing was retried, so as not to lock the account. Correct username or password_wo and raise password_wo_version.",
		}
	case errors.As(err, &untrusted):
		return untrustedProblem(untrusted)
	case errors.As(err, &forbidden):
		return &hubapi.Problem{
			Code: hubapi.CodeForbidden, Title: "Address not allowed", Field: "/vcenter",
			Detail: forbidden.Error(), Hint: "Whoever runs the gateway can change allow_cidrs in its policy file.",
		}
	case errors.As(err, &unreachable):
		return &hubapi.Problem{
			Status: http.StatusBadGateway, Code: hubapi.CodeUnreachable, Title: "vCenter unreachable", Field: "/vcenter",
			Detail: err.Error(), Hint: "Check name, port and firewall between the gateway and the vCenter.",
		}
	case errors.As(err, &missing):
		return notFoundProblem(missing)
	case errors.As(err, &ambiguous):
		return &hubapi.Problem{
			Status: http.StatusUnprocessableEntity, Code: hubapi.CodeInvalid, Title: "Name is ambiguous",
			Field:  fieldOf(ambiguous.Kind),
			Detail: err.Error(), Hint: "Give the full inventory path.",
		}
	case errors.Is(err, vsphere.ErrClosed), errors.Is(err, errClosed):
		return &hubapi.Problem{
			Status: http.StatusServiceUnavailable, Code: hubapi.CodeUnreachable, Title: "Shutting down",
			Detail: err.Error(), Hint: "Ask again in a moment: another process takes over.",
		}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &hubapi.Problem{
			Status: http.StatusGatewayTimeout, Code: hubapi.CodeUnreachable, Title: "Interrupted", Detail: err.Error(),
		}
	default:
		return faultProblem(err)
	}
}

func faultProblem(err error) *hubapi.Problem {
	problem := &hubapi.Problem{
		Status: http.StatusBadGateway, Code: hubapi.CodeInternal, Title: "vCenter fault", Detail: err.Error(),
	}
	switch vsphere.Classify(err) {
	case vsphere.ClassPermission:
		problem.Code, problem.Hint = hubapi.CodePrivileges, "Grant the privilege to the cloud account's user and apply again."
	case vsphere.ClassRetry:
		problem.Code, problem.Hint = hubapi.CodeUnreachable, "The fault is likely to pass: apply again."
	default:
	}
	return problem
}

func untrustedProblem(err *vsphere.UntrustedError) *hubapi.Problem {
	return &hubapi.Problem{
		Status: http.StatusUnprocessableEntity, Code: hubapi.CodeUntrusted, Title: "vCenter is not trusted", Field: "/thumbprints",
		Detail: err.Error(),
		Hint:   "If that is the right certificate, put its thumbprint into thumbprints or its issuer into ca_certificate.",
	}
}

func notFoundProblem(err *vsphere.NotFoundError) *hubapi.Problem {
	return &hubapi.Problem{
		Status: http.StatusUnprocessableEntity, Code: hubapi.CodeInvalid, Title: "Not in the inventory",
		Field: fieldOf(err.Kind), Detail: err.Error(),
	}
}

// verifyProblem puts an object that is to be checked and cannot be found on the attribute that names it.
func verifyProblem(objects hubapi.VerifyObjects, err error) *hubapi.Problem {
	kind, name := lookedFor(err)
	if kind == "folder" && name == objects.TemplatesFolder {
		kind = "templates folder"
	}
	problem := asProblem(err)
	if kind != "" {
		problem.Field = "/verify/" + strings.ReplaceAll(kind, " ", "_")
	}
	return problem
}

// inventoryProblem tells the two compute clusters of a query apart, so that the attribute at fault is named.
func inventoryProblem(q inventory.Query, err error) *hubapi.Problem {
	problem := asProblem(err)
	if _, name := lookedFor(err); problem.Field == fieldOf("compute cluster") && name == q.AccessibleFrom && name != q.ComputeCluster {
		problem.Field = "/accessible_from"
	}
	return problem
}

// lookedFor says what was looked for in the inventory and did not mean one object; "" for other errors.
func lookedFor(err error) (kind, name string) {
	if missing, ok := errors.AsType[*vsphere.NotFoundError](err); ok {
		return missing.Kind, missing.Name
	}
	if ambiguous, ok := errors.AsType[*vsphere.AmbiguousError](err); ok {
		return ambiguous.Kind, ambiguous.Name
	}
	return "", ""
}

// fieldOf is the attribute in which users name objects of a kind.
func fieldOf(kind string) string {
	switch kind {
	case "datacenter":
		return "/datacenter"
	case "compute cluster":
		return "/compute_cluster"
	default:
		return ""
	}
}
