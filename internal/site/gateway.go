package site

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hubapi"
)

// Replica is one process of the site's gateway.
type Replica struct {
	*Process

	// Uplink is its path to the hub; nil where the site has places.
	Uplink *Relay
	Name   string
	// Dir holds its identity.
	Dir    string
	health string
}

// policyText lets a gateway dial the loopback interface, where the vCenters of tests are.
const policyText = `allow_cidrs:
  - 127.0.0.0/8
  - 10.20.0.0/24
`

// AddGateway keeps a gateway at the hub and pairs its replicas, which then run.
func (s *Site) AddGateway() {
	s.tb.Helper()
	gateway, err := s.Client.PutGateway(s.tb.Context(), uuid.NewString(), hubapi.GatewayWrite{Name: "north"}, hubapi.WriteOptions{Create: true})
	if err != nil {
		s.tb.Fatalf("keeping a gateway: %v", err)
	}
	s.GatewayID = gateway.ID
	for range max(s.options.Replicas, 1) {
		s.AddReplica()
	}
}

// AddReplica pairs one more replica of the gateway, runs it and waits until the hub sees it.
func (s *Site) AddReplica() *Replica {
	s.tb.Helper()
	token, _, err := s.Client.Pair(s.tb.Context(), s.GatewayID, hubapi.PairOptions{})
	if err != nil {
		s.tb.Fatalf("making a pairing token: %v", err)
	}
	r := s.Pair(fmt.Sprintf("gateway-%d", len(s.Replicas)), token.String())
	s.Replicas = append(s.Replicas, r)
	r.Start()
	s.AwaitConnected(r)
	return r
}

// Pair pairs a replica with a token. It does not run yet.
func (s *Site) Pair(name, token string) *Replica {
	s.tb.Helper()
	r, out, err := s.pair(name, token)
	if err != nil {
		s.tb.Fatalf("pairing: %v\n%s", err, out)
	}
	return r
}

// TryPair pairs a replica that will not run and returns what the command said.
func (s *Site) TryPair(name, token string) (string, error) {
	s.tb.Helper()
	_, out, err := s.pair(name, token)
	return out, err
}

func (s *Site) pair(name, token string) (*Replica, string, error) {
	s.tb.Helper()
	r := &Replica{Name: name, Dir: filepath.Join(s.dir, name), health: s.healthAddr()}
	endpoint := s.Endpoint()
	if !s.options.Places {
		r.Uplink = newRelay(s.tb, s.Front.targets...)
		endpoint = "https://" + r.Uplink.Addr()
	}
	tokenFile, policyFile := filepath.Join(s.dir, name+".token"), filepath.Join(s.dir, "policy.yaml")
	write(s.tb, tokenFile, []byte(token+"\n"))
	write(s.tb, policyFile, []byte(policyText))
	out, err := output(s.private, nil, Binary(s.tb), "gateway", "pair", "--hub", endpoint, "--token-file", tokenFile,
		"--data-dir", r.Dir, "--ca-file", s.tls.file, "--name", name)
	command := append([]string{
		Binary(s.tb), "gateway", "run", "--data-dir", r.Dir, "--policy", policyFile, "--health-listen", r.health,
	}, s.options.GatewayArgs...)
	var env []string
	if s.options.Hurried {
		command, env = []string{os.Args[0]}, []string{replicaVariable + "=" + r.Dir}
	}
	r.Process = newProcess(s.tb, s.private, name, s.dir, command, env...)
	return r, out, err
}

// Get returns what the replica answers on its health port, such as its metrics.
func (r *Replica) Get(path string) (string, error) {
	var text string
	err := r.place.do(func() error {
		var err error
		text, err = get(http.DefaultClient, "http://"+r.health+path, "")
		return err
	})
	return text, err
}

// Metrics returns the replica's metrics.
func (r *Replica) Metrics() (string, error) { return r.Get("/metrics") }

// SupportBundle makes a support bundle and returns the files in it by name.
func (s *Site) SupportBundle(r *Replica) map[string][]byte {
	s.tb.Helper()
	path := filepath.Join(s.dir, r.Name+".bundle.tar.gz")
	run(s.tb, s.private, Binary(s.tb), "gateway", "support-bundle", "--data-dir", r.Dir, "--output", path)
	file, err := os.Open(path)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		s.tb.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err == nil {
			files[header.Name], err = io.ReadAll(archive)
		}
		if err != nil {
			s.tb.Fatal(err)
		}
	}
}

func (s *Site) healthAddr() string {
	if s.options.Places {
		return fmt.Sprintf("127.0.0.1:%d", 9400+len(s.Replicas))
	}
	return freeAddr(s.tb)
}

// Gateway is the gateway as the hub sees it.
func (s *Site) Gateway() *hubapi.Gateway {
	s.tb.Helper()
	gateway, err := s.Client.Gateway(s.tb.Context(), s.GatewayID)
	if err != nil {
		s.tb.Fatalf("asking for the gateway: %v", err)
	}
	return gateway
}

// AwaitConnected waits until the hub has a tunnel to a replica.
func (s *Site) AwaitConnected(r *Replica) time.Duration {
	s.tb.Helper()
	began := time.Now()
	Eventually(s.tb, startLimit, r.Name+" is connected", func() error {
		if !r.Running() {
			return errors.New("it has ended")
		}
		gateway, err := s.Client.Gateway(s.tb.Context(), s.GatewayID)
		if err != nil {
			return err
		}
		for _, replica := range gateway.Status.Replicas {
			if replica.Name == r.Name && replica.ConnectedSince != nil {
				return nil
			}
		}
		return fmt.Errorf("the hub sees %+v", gateway.Status)
	})
	return time.Since(began)
}

// Holder waits until a replica has the lease and returns it.
func (s *Site) Holder(limit time.Duration) *Replica {
	s.tb.Helper()
	return s.OtherHolder(nil, limit)
}

// OtherHolder waits until another replica than the given one has the lease and returns it.
func (s *Site) OtherHolder(not *Replica, limit time.Duration) *Replica {
	s.tb.Helper()
	var holder *Replica
	Eventually(s.tb, limit, "a replica has the lease", func() error {
		gateway, err := s.Client.Gateway(s.tb.Context(), s.GatewayID)
		if err != nil {
			return err
		}
		for _, replica := range gateway.Status.Replicas {
			if replica.Holder && (not == nil || replica.Name != not.Name) {
				holder = s.replica(s.tb, replica.Name)
				return nil
			}
		}
		return fmt.Errorf("the hub sees %+v", gateway.Status)
	})
	return holder
}

func (s *Site) replica(tb testing.TB, name string) *Replica {
	tb.Helper()
	for _, r := range s.Replicas {
		if r.Name == name {
			return r
		}
	}
	tb.Fatalf("there is no replica %q", name)
	return nil
}
