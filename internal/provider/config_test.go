package provider

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func TestResolve(t *testing.T) {
	everything := map[string]string{
		envEndpoint: "https://env", envToken: "env-token", envCACertificate: "env-ca", envDataDir: "/env", envProject: "env-project",
	}
	cases := map[string]struct {
		reason string
		model  model
		env    map[string]string
		want   settings
	}{
		"Nothing": {
			reason: "Without anything the hub is embedded, in the working directory.",
			want:   settings{DataDir: ".palette", Project: "default"},
		},
		"Environment": {
			reason: "The environment stands in for every attribute.",
			env:    everything,
			want: settings{
				Endpoint: "https://env", Token: "env-token", CACertificate: "env-ca", DataDir: "/env", Project: "env-project",
			},
		},
		"Configuration": {
			reason: "What is written wins over the environment.",
			model: model{
				Endpoint: types.StringValue("https://hub"), Token: types.StringValue("token"), CACertificate: types.StringValue("ca"),
				DataDir: types.StringValue("/data"), Project: types.StringValue("team"),
			},
			env:  everything,
			want: settings{Endpoint: "https://hub", Token: "token", CACertificate: "ca", DataDir: "/data", Project: "team"},
		},
		"EmptyEndpoint": {
			reason: "An empty endpoint means embedded whatever the environment says.",
			model:  model{Endpoint: types.StringValue("")},
			env:    map[string]string{envEndpoint: "https://env"},
			want:   settings{DataDir: ".palette", Project: "default"},
		},
		"EmptyVariables": {
			reason: "An empty variable is one that is not set.",
			env:    map[string]string{envEndpoint: "", envDataDir: "", envProject: ""},
			want:   settings{DataDir: ".palette", Project: "default"},
		},
		"UnknownEndpoint": {
			reason: "The environment does not stand in for an attribute that will have a value; which mode it is, is open.",
			model:  model{Endpoint: types.StringUnknown(), DataDir: types.StringUnknown(), Token: types.StringUnknown()},
			env:    everything,
			want: settings{
				CACertificate: "env-ca", DataDir: ".palette", Project: "env-project", Unknown: []string{"endpoint"},
			},
		},
		"UnknownToken": {
			reason: "A remote hub needs its token and CA.",
			model: model{
				Endpoint: types.StringValue("https://hub"), Token: types.StringUnknown(), CACertificate: types.StringUnknown(),
			},
			want: settings{
				Endpoint: "https://hub", DataDir: ".palette", Project: "default", Unknown: []string{"token", "ca_certificate"},
			},
		},
		"UnknownTokenEmbedded": {
			reason: "An embedded hub needs no token.",
			model:  model{Token: types.StringUnknown(), CACertificate: types.StringUnknown()},
			want:   settings{DataDir: ".palette", Project: "default"},
		},
		"UnknownDataDir": {
			reason: "An embedded hub needs its directory.",
			model:  model{DataDir: types.StringUnknown()},
			want:   settings{DataDir: ".palette", Project: "default", Unknown: []string{"data_dir"}},
		},
		"UnknownDataDirRemote": {
			reason: "A remote hub needs no directory.",
			model:  model{Endpoint: types.StringValue("https://hub"), DataDir: types.StringUnknown()},
			want:   settings{Endpoint: "https://hub", DataDir: ".palette", Project: "default"},
		},
		"UnknownProject": {
			reason: "Every hub needs the project.",
			model:  model{Project: types.StringUnknown()},
			want:   settings{DataDir: ".palette", Project: "default", Unknown: []string{"project"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := resolve(tc.model, func(name string) string { return tc.env[name] })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nresolve(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
