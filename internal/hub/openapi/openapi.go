// Package openapi owns the OpenAPI document of the hub's REST API. It is made from the table of routes and the wire types
// themselves, so it cannot say anything else than what the hub does.
package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"unicode"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Path is where a hub serves its document.
const Path = "/v1/openapi.json"

type object = map[string]any

// Document returns the API's document, OpenAPI 3.1, as JSON.
func Document(version string) ([]byte, error) {
	schemas := newSchemas()
	paths := object{}
	for _, route := range hub.Routes() {
		item, ok := paths[route.FullPath()].(object)
		if !ok {
			item = object{}
			paths[route.FullPath()] = item
		}
		item[strings.ToLower(route.Method)] = operation(schemas, route)
	}
	maps.Copy(paths, besides())
	problem := schemas.of(hubapi.Problem{})
	document := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Palette hub", "version": version,
			"description": "Kubernetes clusters on private vSphere: what they should be, and what they are.",
			"license":     object{"name": "MPL-2.0", "identifier": "MPL-2.0"},
		},
		"security": []object{{"bearer": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas": schemas.named,
			"securitySchemes": object{"bearer": object{
				"type": "http", "scheme": "bearer",
				"description": "An API token of the hub, or the identity token (JWT) of a workload whose issuer the hub believes.",
			}},
			"responses": object{"Problem": object{
				"description": "What is wrong (RFC 9457). With 429 and 503, Retry-After says when to come back.",
				"content":     object{"application/problem+json": object{"schema": problem}},
			}},
		},
	}
	if schemas.err != nil {
		return nil, schemas.err
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the document: %w", err)
	}
	return append(text, '\n'), nil
}

func operation(schemas *schemas, route hub.Route) object {
	op := object{
		"operationId":    operationID(route),
		"summary":        route.Summary,
		"description":    fmt.Sprintf("Needs the role %s.", route.Role),
		"x-palette-role": route.Role,
		"parameters":     parameters(route),
		"responses":      responses(schemas, route),
	}
	if route.Request != nil {
		op["requestBody"] = object{"required": true, "content": content("application/json", schemas.of(route.Request))}
	}
	return op
}

// operationID is the method and the words of the path: "putClustersId".
func operationID(route hub.Route) string {
	words := strings.FieldsFunc(route.Path, func(c rune) bool { return !unicode.IsLetter(c) })
	for i, word := range words {
		words[i] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.ToLower(route.Method) + strings.Join(words, "")
}

func parameters(route hub.Route) []object {
	var all []object
	for part := range strings.SplitSeq(route.FullPath(), "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			all = append(all, object{"name": name, "in": "path", "required": true, "schema": placeholder(name)})
		}
	}
	for _, name := range route.Query {
		all = append(all, object{"name": name, "in": "query", "schema": object{"type": "string"}})
	}
	if route.Method == http.MethodPut && route.Conditional {
		all = append(all,
			object{
				"name": "If-None-Match", "in": "header", "schema": object{"type": "string", "enum": []string{"*"}},
				"description": "Create the object; one that exists is taken over only where that resumes an earlier create.",
			},
			object{
				"name": "If-Match", "in": "header", "schema": object{"type": "string", "examples": []string{`"g5"`}},
				"description": "The generation that the write is based on.",
			})
	}
	return all
}

func placeholder(name string) object {
	switch name {
	case "project":
		return object{"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"}
	case "kind":
		return object{"type": "string"}
	default:
		return object{"type": "string", "format": "uuid"}
	}
}

func responses(schemas *schemas, route hub.Route) object {
	all := object{"default": object{"$ref": "#/components/responses/Problem"}}
	if route.Response == nil {
		all["204"] = object{"description": "Done."}
		return all
	}
	media := "application/json"
	if route.Stream {
		media = hubapi.ContentEvents
	}
	success := object{"description": "Done.", "content": content(media, schemas.of(route.Response))}
	if route.Stream {
		success["description"] = "One document a line, as things happen; blank lines only keep the stream alive."
	}
	all["200"] = success
	if route.Method == http.MethodPut && route.Conditional {
		all["201"] = object{"description": "Created.", "content": success["content"]}
	}
	return all
}

func content(media string, schema object) object { return object{media: object{"schema": schema}} }

// besides are the endpoints beside the API.
func besides() object {
	plain := func(summary string, open bool, codes ...string) object {
		responses := object{}
		for _, code := range codes {
			responses[code] = object{"description": "See the summary."}
		}
		get := object{"summary": summary, "responses": responses}
		if open {
			get["security"] = []object{}
		}
		return object{"get": get}
	}
	return object{
		"/healthz": plain("Tell that the process answers", true, "200"),
		"/readyz":  plain("Tell whether requests can be answered now, by the database and the hub", true, "200", "503"),
		"/metrics": plain("Prometheus metrics; needs a token that is good for all projects", false, "200", "401", "403"),
		Path:       plain("This document", true, "200"),
	}
}
