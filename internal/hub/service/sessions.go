package service

import (
	"context"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/authority"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub/sessions"
)

// onlyInstance is the name of a hub that shares its records with no other: the same in every life, so that it goes on with
// its gateways at once.
const onlyInstance = "hub"

// openSessions makes the hub's end of tunnels. It returns the pin that gateways know the hub by.
func (s *service) openSessions(ctx context.Context) (pin []byte, err error) {
	file := s.cfg.SecretFile
	if file == "" {
		file = filepath.Join(s.cfg.DataDir, "secret")
	}
	secret, err := loadSecret(file)
	if err != nil {
		return nil, err
	}
	ca, err := authority.Open(ctx, s.records, [secretSize]byte(secret), s.cfg.Clock)
	if err != nil {
		return nil, err
	}
	cfg := sessions.Config{
		Store: s.records, Authority: ca, Instance: onlyInstance, Version: s.cfg.Version, Log: s.cfg.Log,
		Source: s.cfg.Proxies.Source, URL: s.cfg.AdvertiseURL, Clock: s.cfg.Clock,
	}
	if s.cfg.shared() {
		cfg.Instance = uuid.NewString()
	}
	if s.cfg.System != nil {
		cfg.System = hub.NewSystemGateway(s.cfg.System.ID, s.cfg.System.Transport)
	}
	if s.sessions, err = sessions.New(cfg); err != nil {
		return nil, err
	}
	s.metrics.gauge("palette_hub_gateways_connected", "Gateways that have a tunnel to this hub.",
		func() float64 { return float64(s.sessions.Count().Gateways) })
	s.metrics.gauge("palette_hub_gateway_replicas_connected", "Replicas of gateways that have a tunnel to this hub.",
		func() float64 { return float64(s.sessions.Count().Replicas) })
	return ca.Pin(), nil
}
