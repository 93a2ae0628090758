package payload

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"

	"gopkg.in/yaml.v3"
)

const (
	// maxValue is what the guest's tools can read of one value.
	maxValue = 64 << 10
	// maxDocument bounds a decompressed document.
	maxDocument = 4 << 20
)

// decoded returns a guestinfo value in clear. Only the named encodings will do.
func decoded(values map[string]string, key string, encodings ...string) ([]byte, error) {
	value, encoding := values[key], values[key+".encoding"]
	switch {
	case value == "" || value == "---":
		return nil, refuse(GuestInfo, "%s is not set", key)
	case len(value) > maxValue:
		return nil, refuse(GuestInfo, "%s has %d bytes, the tools read %d", key, len(value), maxValue)
	case !slices.Contains(encodings, encoding):
		return nil, refuse(GuestInfo, "%s.encoding is %q, want one of %q", key, encoding, encodings)
	}
	data, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, refuse(GuestInfo, "%s is no base64: %w", key, err)
	}
	if encoding == "base64" {
		return data, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, refuse(GuestInfo, "%s is no gzip: %w", key, err)
	}
	text, err := io.ReadAll(io.LimitReader(reader, maxDocument))
	if err != nil {
		return nil, refuse(GuestInfo, "%s does not decompress: %w", key, err)
	}
	return text, nil
}

// strictly decodes one YAML document and refuses fields that the type does not have.
func strictly(data []byte, into any) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one document")
	}
	return nil
}

// text is a YAML string. A number or a boolean is none, as in JSON.
type text string

// UnmarshalYAML is part of yaml.Unmarshaler.
func (t *text) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str" {
		return fmt.Errorf("line %d: %q is not a string", node.Line, node.Value)
	}
	*t = text(node.Value)
	return nil
}
