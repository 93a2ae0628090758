package hubapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
)

const (
	// HeaderRequestID carries the id of a request from the client through the hub to the gateway and back.
	HeaderRequestID = "X-Request-Id"
	// MaxBody is the largest request body, in bytes, that a hub or a gateway reads.
	MaxBody = 4 << 20

	contentJSON    = "application/json"
	contentProblem = "application/problem+json"
	// ContentEvents is the media type of event streams: one JSON document a line; blank lines only keep the stream alive.
	ContentEvents = "application/x-ndjson"

	// maxProblem bounds what is read of an error's body; more cannot be a problem document of ours.
	maxProblem = 64 << 10
)

type requestIDKey struct{}

// WithRequestID returns a context whose requests carry the id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the context's request id, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// NewRequestID makes a request id.
func NewRequestID() string { return uuid.NewString() }

// IncomingRequestID returns the id a request came with when it is fit to be repeated in answers and logs, else a new
// one.
func IncomingRequestID(r *http.Request) string {
	id := r.Header.Get(HeaderRequestID)
	if id == "" || len(id) > 64 {
		return NewRequestID()
	}
	for _, c := range id {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return NewRequestID()
		}
	}
	return id
}

// StatusOf is the HTTP status a code is answered with where nothing else is known.
func StatusOf(code Code) int {
	switch code {
	case CodeNotFound:
		return http.StatusNotFound
	case CodeInvalid, CodeCredentials, CodeUntrusted, CodePrivileges:
		return http.StatusUnprocessableEntity
	case CodeAlreadyExists, CodeBusy, CodeInUse:
		return http.StatusConflict
	case CodeConflict:
		return http.StatusPreconditionFailed
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeUnreachable:
		return http.StatusServiceUnavailable
	case CodeRateLimited:
		return http.StatusTooManyRequests
	default:
		return http.StatusInternalServerError
	}
}

// codeOf guesses a code for an answer that is not a problem document, such as a proxy's error page.
func codeOf(status int) Code {
	switch status {
	case http.StatusNotFound:
		return CodeNotFound
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return CodeUnauthorized
	case http.StatusForbidden:
		return CodeForbidden
	case http.StatusConflict, http.StatusPreconditionFailed:
		return CodeConflict
	case http.StatusTooManyRequests:
		return CodeRateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return CodeUnreachable
	}
	if status >= 400 && status < 500 {
		return CodeInvalid
	}
	return CodeInternal
}

// NewProblem makes a problem with the status that belongs to the code.
func NewProblem(code Code, format string, args ...any) *Problem {
	status := StatusOf(code)
	return &Problem{
		Type:   "about:blank",
		Title:  http.StatusText(status),
		Status: status,
		Detail: fmt.Sprintf(format, args...),
		Code:   code,
	}
}

// At returns a copy of the problem that points at a field.
func (p *Problem) At(field string) *Problem {
	q := *p
	q.Field = field
	return &q
}

// WithHint returns a copy of the problem with a hint on what to do next.
func (p *Problem) WithHint(format string, args ...any) *Problem {
	q := *p
	q.Hint = fmt.Sprintf(format, args...)
	return &q
}

// AsProblem returns the problem in an error, or an internal one that says nothing of what the error holds.
func AsProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return NewProblem(CodeInternal, "an internal error; the log has it under the request id")
}

// WriteProblem answers a request with a problem. An empty request id is taken from the answer's header.
func WriteProblem(w http.ResponseWriter, p *Problem) {
	q := *p
	if q.Status == 0 {
		q.Status = StatusOf(q.Code)
	}
	if q.Type == "" {
		q.Type = "about:blank"
	}
	if q.Title == "" {
		q.Title = http.StatusText(q.Status)
	}
	if q.RequestID == "" {
		q.RequestID = w.Header().Get(HeaderRequestID)
	}
	write(w, q.Status, contentProblem, q)
}

// WriteJSON answers a request with a document.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	write(w, status, contentJSON, v)
}

func write(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, contentType = http.StatusInternalServerError, contentProblem
		body, _ = json.Marshal(NewProblem(CodeInternal, "the answer could not be encoded"))
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A failed write means the client has gone; there is nobody left to tell.
	_, _ = w.Write(append(body, '\n'))
}

// ReadJSON reads a request's body into v. Bodies over MaxBody, unknown fields and trailing data are refused; the error
// is a *Problem.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
			p := NewProblem(CodeInvalid, "the body is larger than %d bytes", tooLarge.Limit)
			p.Status, p.Title = http.StatusRequestEntityTooLarge, http.StatusText(http.StatusRequestEntityTooLarge)
			return p
		}
		return badBody("the body could not be read to its end")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeProblem(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badBody("the body holds more than one JSON document")
	}
	return nil
}

func badBody(format string, args ...any) *Problem {
	p := NewProblem(CodeInvalid, format, args...)
	p.Status, p.Title = http.StatusBadRequest, http.StatusText(http.StatusBadRequest)
	return p
}

// decodeProblem tells what is wrong with a body by place and field, never by its values: they may be secret.
func decodeProblem(err error) *Problem {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return badBody("the body is not JSON: offset %d", syntax.Offset)
	}
	if typ, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		p := badBody("expected %s, got %s", typ.Type, typ.Value)
		if typ.Field != "" {
			p.Field = "/" + strings.ReplaceAll(typ.Field, ".", "/")
		}
		return p
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badBody("the body is empty or cut off")
	}
	// What is left is the decoder's text for an unknown field, which holds the field's name, and for a value that a
	// type's own decoder refused, which may hold anything; only the former is repeated.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return badBody("unknown field %s", name).WithHint("a newer client may be talking to an older hub or gateway")
	}
	return badBody("the body holds a value that is not valid for its field")
}

// DecodeProblem makes a problem of an answer with an error status. Its body is read, up to a bound, and not closed.
func DecodeProblem(resp *http.Response) *Problem {
	id := resp.Header.Get(HeaderRequestID)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var p Problem
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), contentProblem) &&
		json.Unmarshal(body, &p) == nil && p.Code != "" {
		if p.Status == 0 {
			p.Status = resp.StatusCode
		}
		if p.RequestID == "" {
			p.RequestID = id
		}
		return &p
	}
	p = Problem{
		Type:      "about:blank",
		Title:     http.StatusText(resp.StatusCode),
		Status:    resp.StatusCode,
		Detail:    fmt.Sprintf("answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
		Code:      codeOf(resp.StatusCode),
		RequestID: id,
	}
	if line := firstLine(body, resp.Header.Get("Content-Type")); line != "" {
		p.Detail += ": " + line
	}
	return &p
}

// firstLine returns the start of a plain-text body; pages of proxies are left out.
func firstLine(body []byte, contentType string) string {
	if !strings.HasPrefix(contentType, "text/plain") {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return strings.ToValidUTF8(line[:min(len(line), 200)], "")
}
