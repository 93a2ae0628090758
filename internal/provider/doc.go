// Package provider owns the provider's own schema, its configuration and the list of what it offers. What it offers
// lies in one package for each object below it. It knows the hub by its typed client only: the hub that a process
// carries is handed in by whoever builds the provider.
package provider
