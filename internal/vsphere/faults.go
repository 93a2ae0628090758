package vsphere

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// FaultError is a fault of the vCenter, of a call or of the task it started.
type FaultError struct {
	// Op is what was being done, such as "clone prod-general-3".
	Op string
	// Object is the full inventory path, or the moid, of what it was done to.
	Object string
	// Fault is the type of the fault, such as "NoDiskSpace".
	Fault string
	// Message is the vCenter's own text with all its parts.
	Message string
	// Privilege is the missing privilege when Fault is NoPermission.
	Privilege string
	Err       error

	fault types.BaseMethodFault
}

func (e *FaultError) Error() string {
	text := e.Op
	if e.Object != "" {
		text += " (" + e.Object + ")"
	}
	text += ": " + e.Fault
	if e.Privilege != "" {
		text += ": privilege " + e.Privilege + " is missing"
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

func (e *FaultError) Unwrap() error { return e.Err }

// Class tells what an error means for whoever has to go on.
type Class string

// The classes of error.
const (
	// ClassNone is no error.
	ClassNone Class = ""
	// ClassRetry passes by itself.
	ClassRetry Class = "retry"
	// ClassNoRoom is a lack of disk, memory or hosts: it stops one machine, not the others.
	ClassNoRoom Class = "no_room"
	// ClassPermission is a missing privilege.
	ClassPermission Class = "permission"
	// ClassGone says that the object does not exist any more.
	ClassGone Class = "gone"
	// ClassFatal is everything that trying again does not mend.
	ClassFatal Class = "fatal"
)

// Classify tells what an error of this package means.
func Classify(err error) Class {
	if err == nil {
		return ClassNone
	}
	if fault := faultOf(err); fault != nil {
		return classifyFault(fault)
	}
	var untrusted *UntrustedError
	var unreachable *UnreachableError
	var forbidden *ForbiddenAddressError
	switch {
	case errors.Is(err, ErrCredentials), errors.Is(err, ErrClosed), errors.As(err, &untrusted), errors.As(err, &forbidden):
		return ClassFatal
	case errors.As(err, &unreachable), errors.Is(err, errTaskLost), errors.Is(err, errViewLost),
		errors.Is(err, errBeingMade), isTransport(err):
		return ClassRetry
	}
	return ClassFatal
}

func classifyFault(fault types.BaseMethodFault) Class {
	switch fault.(type) {
	case *types.TaskInProgress, *types.ConcurrentAccess, *types.ResourceInUse,
		*types.HostCommunication, *types.HostNotConnected, *types.HostNotReachable, *types.Timedout,
		*types.RequestCanceled, *types.VAppTaskInProgress, *types.FileLocked, *types.NotAuthenticated,
		*types.SystemError:
		return ClassRetry
	case *types.ManagedObjectNotFound:
		return ClassGone
	}
	if _, ok := fault.(types.BaseNoPermission); ok {
		return ClassPermission
	}
	switch fault.(type) {
	case *types.NoDiskSpace, *types.NoCompatibleHost, *types.NoHost, *types.NoHostSuitableForFtSecondary,
		*types.InaccessibleDatastore, *types.InvalidDatastoreState, *types.DatastoreNotWritableOnHost,
		types.BaseInsufficientResourcesFault, types.BaseInvalidDatastore:
		return ClassNoRoom
	}
	return ClassFatal
}

// faultOf digs the vCenter's fault out of an error, or returns nil.
func faultOf(err error) types.BaseMethodFault {
	if own, ok := errors.AsType[*FaultError](err); ok && own.fault != nil {
		return own.fault
	}
	switch e := findError(err, func(e error) bool { return soap.IsSoapFault(e) || soap.IsVimFault(e) }); {
	case e == nil:
		return nil
	case soap.IsSoapFault(e):
		return pointerFault(soap.ToSoapFault(e).VimFault())
	default:
		return soap.ToVimFault(e)
	}
}

// findError finds the first error of a tree that meets a condition; nil means there is none.
func findError(err error, meets func(error) bool) error {
	if err == nil || meets(err) {
		return err
	}
	switch e := err.(type) { //nolint:errorlint // this walks the tree itself
	case interface{ Unwrap() error }:
		return findError(e.Unwrap(), meets)
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if found := findError(part, meets); found != nil {
				return found
			}
		}
	}
	return nil
}

// pointerFault turns a decoded fault, which is a value, into the pointer that carries its methods.
func pointerFault(value any) types.BaseMethodFault {
	if value == nil {
		return nil
	}
	if fault, ok := value.(types.BaseMethodFault); ok {
		return fault
	}
	pointer := reflect.New(reflect.TypeOf(value))
	pointer.Elem().Set(reflect.ValueOf(value))
	fault, _ := reflect.TypeAssert[types.BaseMethodFault](pointer)
	return fault
}

// isFault tells whether err is, or wraps, a vCenter fault of type T.
func isFault[T types.BaseMethodFault](err error) (T, bool) {
	fault, ok := faultOf(err).(T)
	return fault, ok
}

// newFaultError names what was being done; an error that is no fault keeps its own form.
func (s *Session) newFaultError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	fault := faultOf(err)
	if fault == nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	out := &FaultError{Op: op, Object: object, Fault: faultName(fault), Err: err, fault: fault}
	if prior, ok := errors.AsType[*FaultError](err); ok {
		out.Message = prior.Message
	} else {
		out.Message = faultMessage(fault, messageOf(err))
	}
	if denied, ok := fault.(types.BaseNoPermission); ok {
		detail := denied.GetNoPermission()
		out.Privilege = detail.PrivilegeId
		if out.Privilege == "" && len(detail.MissingPrivileges) > 0 {
			out.Privilege = strings.Join(detail.MissingPrivileges[0].PrivilegeIds, ", ")
			out.Object = s.describeOr(detail.MissingPrivileges[0].Entity, object)
		}
		if detail.Object != nil {
			out.Object = s.describeOr(*detail.Object, object)
		}
	}
	return out
}

func faultName(fault types.BaseMethodFault) string {
	return reflect.Indirect(reflect.ValueOf(fault)).Type().Name()
}

func messageOf(err error) string {
	if e := findError(err, soap.IsSoapFault); e != nil {
		return soap.ToSoapFault(e).String
	}
	return ""
}

// faultMessage joins the localized message with the messages inside the fault, which often hold the only useful part.
func faultMessage(fault types.BaseMethodFault, localized string) string {
	parts := []string{}
	add := func(text string) {
		text = strings.TrimSpace(text)
		if text != "" && !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	if localized != faultName(fault) {
		add(localized)
	}
	add(faultDetail(fault))
	detail := fault.GetMethodFault()
	for detail != nil {
		for _, message := range detail.FaultMessage {
			add(message.Message)
		}
		cause := detail.FaultCause
		if cause == nil {
			break
		}
		add(cause.LocalizedMessage)
		if cause.Fault == nil {
			break
		}
		detail = cause.Fault.GetMethodFault()
	}
	return strings.Join(parts, ": ")
}

// taskFault is the error of a task that ended in a fault.
func taskFault(failure *types.LocalizedMethodFault) error {
	if failure == nil || failure.Fault == nil {
		return errors.New("task failed and vCenter gave no reason")
	}
	return &FaultError{
		Op: "task", Fault: faultName(failure.Fault), fault: failure.Fault,
		Message: faultMessage(failure.Fault, failure.LocalizedMessage),
	}
}

// isTransport tells whether the call did not get through, or its answer did not come back.
func isTransport(err error) bool {
	if err == nil || faultOf(err) != nil || errors.Is(err, context.Canceled) {
		return false
	}
	var status *statusError
	var network net.Error
	var forbidden *ForbiddenAddressError
	return !errors.As(err, &forbidden) && (errors.As(err, &status) || errors.As(err, &network) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE))
}
