package hubapi

// CodeUnconfigured is answered by the provider itself while values of its configuration are not known yet.
const CodeUnconfigured Code = "unconfigured"

// ErrUnconfigured is what a plan meets before the hub can be known; it may go on without the hub's word.
var ErrUnconfigured = &Problem{Code: CodeUnconfigured}
