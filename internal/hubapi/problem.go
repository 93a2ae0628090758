package hubapi

import (
	"errors"
	"fmt"
)

// Code is a stable name for a kind of error.
type Code string

// The codes a hub answers with.
const (
	CodeNotFound      Code = "not_found"
	CodeInvalid       Code = "invalid"
	CodeAlreadyExists Code = "already_exists"
	CodeConflict      Code = "conflict" // If-Match did not match: somebody else wrote in between
	CodeBusy          Code = "busy"     // another apply is changing the object
	CodeInUse         Code = "in_use"   // others depend on the object
	CodeUnauthorized  Code = "unauthorized"
	CodeForbidden     Code = "forbidden"
	CodeCredentials   Code = "credentials" // the vCenter refused user or password
	CodeUntrusted     Code = "untrusted"   // the vCenter's certificate is not believed
	CodeUnreachable   Code = "unreachable" // the vCenter, or the gateway, did not answer
	CodePrivileges    Code = "privileges"  // privileges are missing
	CodeRateLimited   Code = "rate_limited"
	CodeInternal      Code = "internal"
)

// Problem is an RFC 9457 problem document, and the error every failed call returns.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   Code   `json:"code"`
	// Field is a JSON pointer into the request's spec, where one attribute is at fault.
	Field     string `json:"field,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
}

// Error implements error.
func (p *Problem) Error() string {
	if p.Field != "" {
		return fmt.Sprintf("%s: %s (%s)", p.Field, p.Detail, p.Code)
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// Is makes errors.Is(err, ErrNotFound) and the like work by code.
func (p *Problem) Is(target error) bool {
	var t *Problem
	return errors.As(target, &t) && t.Code == p.Code && t.Detail == ""
}

// Sentinels to compare with errors.Is.
var (
	ErrNotFound      = &Problem{Code: CodeNotFound}
	ErrAlreadyExists = &Problem{Code: CodeAlreadyExists}
	ErrConflict      = &Problem{Code: CodeConflict}
	ErrBusy          = &Problem{Code: CodeBusy}
	ErrInUse         = &Problem{Code: CodeInUse}
	ErrCredentials   = &Problem{Code: CodeCredentials}
	ErrUntrusted     = &Problem{Code: CodeUntrusted}
)
