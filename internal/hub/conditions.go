package hub

import (
	"net/http"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// condition reads the conditions of a write.
func condition(r *http.Request) (hubapi.WriteOptions, error) {
	var o hubapi.WriteOptions
	switch r.Header.Get("If-None-Match") {
	case "":
	case "*":
		o.Create = true
	default:
		return o, invalid("", "If-None-Match can only be *")
	}
	if tag := r.Header.Get("If-Match"); tag != "" && tag != "*" {
		generation, err := hubapi.ParseETag(tag)
		if err != nil {
			return o, invalid("", "If-Match: %s", err)
		}
		o.IfGeneration = generation
	}
	if o.Create && o.IfGeneration != 0 {
		return o, invalid("", "If-Match and If-None-Match exclude each other")
	}
	return o, nil
}

// put reads the body and the conditions of a write.
func readPut[T any](w http.ResponseWriter, r *http.Request) (id string, body T, o hubapi.WriteOptions, err error) {
	id = r.PathValue("id")
	if err = checkID(id); err != nil {
		return id, body, o, err
	}
	if o, err = condition(r); err != nil {
		return id, body, o, err
	}
	err = hubapi.ReadJSON(w, r, &body)
	return id, body, o, err
}

func statusOf(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}
