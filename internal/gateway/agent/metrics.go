package agent

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/gateway"
	"github.com/terraform-provider-palette/terraform-provider-palette/internal/vsphere"
)

const namespace = "palette_gateway"

// metrics are what Prometheus is told. No label is taken from what others say, but the names of vSphere's methods.
type metrics struct {
	registry *prometheus.Registry
	connects prometheus.Counter
	calls    *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

func newMetrics(a *agent) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		connects: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "hub_connects_total", Help: "Sessions with the hub that have begun.",
		}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "vcenter_call_seconds", Help: "Calls to vCenters, by method.",
			Buckets: []float64{.005, .02, .1, .5, 2, 10, 60},
		}, []string{"method"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "vcenter_call_failures_total", Help: "Calls to vCenters that failed, by method.",
		}, []string{"method"}),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value)
	}
	of := func(pick func(gateway.State) int) func() float64 {
		return func() float64 { return float64(pick(a.gateway.State())) }
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "The version that runs.",
		ConstLabels: prometheus.Labels{"version": a.cfg.Version},
	}, func() float64 { return 1 })
	m.registry.MustRegister(m.connects, m.calls, m.failures, build,
		gauge("hub_sessions", "Sessions with instances of the hub that are up.", func() float64 {
			sessions, _ := a.current().connected()
			return float64(sessions)
		}),
		gauge("lease_held", "1 while this replica works on the gateway's clusters.", of(func(s gateway.State) int {
			if s.Holder {
				return 1
			}
			return 0
		})),
		gauge("lease_epoch", "The epoch of the lease.", func() float64 { return float64(a.gateway.State().Epoch) }),
		gauge("clusters_worked_on", "Clusters that are worked on now.", of(func(s gateway.State) int { return s.Clusters })),
		gauge("vcenter_sessions", "Sessions with vCenters.", of(func(s gateway.State) int { return s.Sessions })),
		gauge("reports_unkept", "Reports that the hub has not kept yet.", of(func(s gateway.State) int { return s.Unkept })),
		gauge("certificate_expiry_timestamp_seconds", "When the replica's certificate ends.", func() float64 {
			return float64(a.certificateEnd().Unix())
		}),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) connected() { m.connects.Inc() }

func (m *metrics) call(c vsphere.Call) {
	m.calls.WithLabelValues(c.Name).Observe(c.Took.Seconds())
	if c.Err != nil {
		m.failures.WithLabelValues(c.Name).Inc()
	}
}

// certificateEnd is when the replica's certificate ends.
func (a *agent) certificateEnd() time.Time {
	cert, err := a.dir.identity().certificate()
	if err != nil {
		return time.Time{}
	}
	return cert.Leaf.NotAfter
}
