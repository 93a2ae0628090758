package tfkit

import (
	"context"
	"encoding/json"

	"github.com/hashicorp/terraform-plugin-framework/diag"
)

// PrivateReader is the private state that came with a request.
type PrivateReader interface {
	GetKey(ctx context.Context, key string) ([]byte, diag.Diagnostics)
}

// PrivateWriter is the private state that goes with an answer.
type PrivateWriter interface {
	SetKey(ctx context.Context, key string, value []byte) diag.Diagnostics
}

// GetPrivate reads what SetPrivate wrote under the key; the zero value where nothing was written.
func GetPrivate[T any](ctx context.Context, private PrivateReader, key string) (T, diag.Diagnostics) {
	var value T
	text, diags := private.GetKey(ctx, key)
	if len(text) == 0 {
		return value, diags
	}
	if err := json.Unmarshal(text, &value); err != nil {
		diags.AddError("Unable to Read Private State", "What the provider keeps in "+key+" cannot be read: "+err.Error()+".")
	}
	return value, diags
}

// SetPrivate keeps a value beside the state, where only the provider sees it. It is no place for secrets: Terraform does
// not encrypt it.
func SetPrivate[T any](ctx context.Context, private PrivateWriter, key string, value T) diag.Diagnostics {
	text, err := json.Marshal(value)
	if err != nil {
		var diags diag.Diagnostics
		diags.AddError("Unable to Write Private State", err.Error())
		return diags
	}
	return private.SetKey(ctx, key, text)
}
