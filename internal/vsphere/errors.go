package vsphere

import (
	"errors"
	"fmt"
	"strings"
)

// ErrCredentials says that the vCenter refused the user name or password. The session that got it makes no further
// calls, so that the account is not locked out.
var ErrCredentials = errors.New("vCenter refused the user name or password")

// ErrClosed says that the session was closed.
var ErrClosed = errors.New("session is closed")

// UntrustedError says that the vCenter's certificate is not trusted.
type UntrustedError struct {
	Host string
	// Presented are the SHA-1 and SHA-256 thumbprints of the certificate that was shown.
	Presented []string
	Err       error
}

func (e *UntrustedError) Error() string {
	presented := strings.Join(e.Presented, ", ")
	return fmt.Sprintf("certificate of %s is not trusted (presented: %s): %v", e.Host, presented, e.Err)
}

func (e *UntrustedError) Unwrap() error { return e.Err }

// UnreachableError says that the vCenter could not be talked to, or that what answered is not a vCenter.
type UnreachableError struct {
	Host string
	Err  error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("vCenter %s cannot be reached: %v", e.Host, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// ForbiddenAddressError says that the vCenter's name leads to an address that may not be connected to.
type ForbiddenAddressError struct {
	// Address is the one the name was resolved to, with the port.
	Address string
	Err     error
}

func (e *ForbiddenAddressError) Error() string {
	return fmt.Sprintf("connecting to %s is not allowed: %v", e.Address, e.Err)
}

func (e *ForbiddenAddressError) Unwrap() error { return e.Err }

// NotFoundError says that no object of the inventory has the name.
type NotFoundError struct {
	// Kind is in a person's words: datacenter, compute cluster, ...
	Kind, Name string
	// Near are names like it, the nearest first.
	Near []string
}

func (e *NotFoundError) Error() string {
	if len(e.Near) == 0 {
		return fmt.Sprintf("%s %q not found", e.Kind, e.Name)
	}
	return fmt.Sprintf("%s %q not found; there is %s", e.Kind, e.Name, strings.Join(e.Near, ", "))
}

// AmbiguousError says that several objects have the name.
type AmbiguousError struct {
	Kind, Name string
	// Paths are the full inventory paths of those objects, sorted.
	Paths []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s %q is ambiguous: %s", e.Kind, e.Name, strings.Join(e.Paths, ", "))
}

// NotEmptyError says that a folder cannot be deleted because something is in it.
type NotEmptyError struct {
	Path string
	// Children are the names of what is in it, sorted.
	Children []string
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("folder %s is not empty: %s", e.Path, strings.Join(e.Children, ", "))
}

// ForeignVMError says that a VM is not the machine it should be, so it was left alone.
type ForeignVMError struct {
	Path   string
	Reason string
}

func (e *ForeignVMError) Error() string {
	return fmt.Sprintf("virtual machine %s is left alone: %s", e.Path, e.Reason)
}

// ForeignDiskError says that disks which are not the machine's own are attached to it, so it was not destroyed.
type ForeignDiskError struct {
	Path string
	// Disks are the file names of the foreign disks.
	Disks []string
}

func (e *ForeignDiskError) Error() string {
	return fmt.Sprintf("virtual machine %s has foreign disks attached: %s", e.Path, strings.Join(e.Disks, ", "))
}
