package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// AuditEntry says who did what to which object, from where, and how that ended.
type AuditEntry struct {
	// Seq counts the entries of all projects from 1, without gaps. The store sets it.
	Seq     int64
	Time    time.Time
	Project string
	Actor   string
	Role    hubapi.Role
	// Remote is the address the request came from.
	Remote        string
	Method, Route string
	// Kind, Object and Name are of what was acted on; Object is its id.
	Kind         Kind
	Object, Name string
	// Outcome is the HTTP status of the answer, Code that of its problem, "" when there was none.
	Outcome   int
	Code      hubapi.Code
	RequestID string
	// Hash chains the entries: it is the SHA-256 over the hash before and all of the above. The store sets it. Who keeps the
	// newest one elsewhere can tell later whether the log's end was cut off.
	Hash []byte
}

// Audits are the audit log. Entries can be added and read; the database refuses to change or remove them.
type Audits interface {
	// AppendAudit adds an entry durably.
	AppendAudit(ctx context.Context, e AuditEntry) error
	// Audit returns a project's entries after the given number, at most limit, in order; those of all projects for "".
	Audit(ctx context.Context, project string, after int64, limit int) ([]AuditEntry, error)
}

// BrokenAuditError tells where somebody changed the audit log behind the store's back.
type BrokenAuditError struct {
	// Seq is that of the first entry that is missing, or that does not follow from the one before.
	Seq int64
}

// Error implements error.
func (e *BrokenAuditError) Error() string {
	return fmt.Sprintf("the audit log was tampered with at entry %d", e.Seq)
}

// auditPage is how many entries are verified at a time.
const auditPage = 1000

// VerifyAudit goes through the whole log. It returns a *BrokenAuditError for the first entry that is not as it was written.
func VerifyAudit(ctx context.Context, log Audits) error {
	var last AuditEntry
	for {
		entries, err := log.Audit(ctx, "", last.Seq, auditPage)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			if e.Seq != last.Seq+1 || subtle.ConstantTimeCompare(e.link(last.Hash), e.Hash) != 1 {
				return &BrokenAuditError{Seq: last.Seq + 1}
			}
			last = e
		}
	}
}

// after makes the entry the one that follows the given number and hash.
func (e AuditEntry) after(seq int64, before []byte) AuditEntry {
	for _, text := range []*string{
		&e.Project, &e.Actor, (*string)(&e.Role), &e.Remote, &e.Method, &e.Route, (*string)(&e.Kind), &e.Object, &e.Name,
		(*string)(&e.Code), &e.RequestID,
	} {
		*text = storable(*text)
	}
	e.Seq, e.Time = seq+1, e.Time.UTC()
	e.Hash = e.link(before)
	return e
}

// storable returns the text as every database takes it. It may come from a request that was refused for it.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// link is the entry's hash after the one before. Every field has its length before it, so that no two entries are alike.
func (e AuditEntry) link(before []byte) []byte {
	h := sha256.New()
	writeField(h, before)
	for _, number := range []int64{e.Seq, e.Time.UnixNano(), int64(e.Outcome)} {
		writeField(h, binary.BigEndian.AppendUint64(nil, uint64(number)))
	}
	for _, text := range []string{
		e.Project, e.Actor, string(e.Role), e.Remote, e.Method, e.Route, string(e.Kind), e.Object, e.Name,
		string(e.Code), e.RequestID,
	} {
		writeField(h, []byte(text))
	}
	return h.Sum(nil)
}

func writeField(h hash.Hash, field []byte) {
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field))))
	h.Write(field)
}

const auditColumns = `seq, at, project, actor, role, remote, method, route, kind, object, name,
	outcome, code, request_id, hash`

// columns are the entry's values in the order of auditColumns.
func (e AuditEntry) columns() []any {
	return []any{
		e.Seq, e.Time.UnixNano(), e.Project, e.Actor, string(e.Role), e.Remote, e.Method, e.Route, string(e.Kind), e.Object,
		e.Name, e.Outcome, string(e.Code), e.RequestID, e.Hash,
	}
}

func scanAudit(row interface{ Scan(dest ...any) error }) (AuditEntry, error) {
	var e AuditEntry
	var at int64
	err := row.Scan(&e.Seq, &at, &e.Project, &e.Actor, &e.Role, &e.Remote, &e.Method, &e.Route, &e.Kind, &e.Object,
		&e.Name, &e.Outcome, &e.Code, &e.RequestID, &e.Hash)
	if err != nil {
		return e, fmt.Errorf("reading the audit log: %w", err)
	}
	e.Time = time.Unix(0, at).UTC()
	return e, nil
}
