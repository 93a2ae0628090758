package hubapi

import "errors"

// unreachableError is a problem that keeps its cause, so that a caller can ask for either.
type unreachableError struct {
	*Problem
	cause error
}

// Unwrap gives errors.Is and errors.As both.
func (e *unreachableError) Unwrap() []error { return []error{e.Problem, e.cause} }

// Unreachable makes a CodeUnreachable problem of a failed connection. The cause stays reachable by errors.Is.
func Unreachable(cause error) error {
	return &unreachableError{Problem: NewProblem(CodeUnreachable, "%s", cause), cause: cause}
}

// LostConnection tells that an error is a connection that failed, as against an answer that says something is
// unreachable.
func LostConnection(err error) bool {
	_, ok := errors.AsType[*unreachableError](err)
	return ok
}
