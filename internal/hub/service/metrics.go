package service

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/terraform-provider-palette/terraform-provider-palette/internal/hub"
)

// metrics are what a hub counts. Nothing that a client may choose becomes a label: routes are patterns.
type metrics struct {
	registry      *prometheus.Registry
	requests      *prometheus.CounterVec
	durations     *prometheus.HistogramVec
	inFlight      *prometheus.GaugeVec
	throttled     *prometheus.CounterVec
	auditFailures prometheus.Counter
	storeErrors   *prometheus.CounterVec
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "palette_hub_requests_total", Help: "Requests answered, by route, method and status.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "palette_hub_request_duration_seconds", Help: "How long requests took, without event streams.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "palette_hub_requests_in_flight", Help: "Requests being answered; streams are event streams.",
		}, []string{"kind"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "palette_hub_throttled_total", Help: "Requests that were asked to come back later, by reason.",
		}, []string{"reason"}),
		auditFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "palette_hub_audit_failures_total", Help: "Entries of the audit log that could not be written.",
		}),
		storeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "palette_hub_store_errors_total", Help: "Operations that the database failed, by operation.",
		}, []string{"operation"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "palette_hub_build_info", Help: "The hub's version.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.durations, m.inFlight, m.throttled, m.auditFailures, m.storeErrors, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// gauge adds a number that is read when it is asked for.
func (m *metrics) gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// knownMethods are the methods that are told apart.
var knownMethods = []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete}

// instrument counts a route's requests.
func (m *metrics) instrument(route hub.Route, next http.Handler) http.Handler {
	name, kind := route.FullPath(), "request"
	if route.Method == "" {
		name = "none"
	}
	if route.Stream {
		kind = "stream"
	}
	inFlight := m.inFlight.WithLabelValues(kind)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := "other"
		if slices.Contains(knownMethods, r.Method) {
			method = r.Method
		}
		inFlight.Inc()
		defer inFlight.Dec()
		began, status := time.Now(), &statusWriter{ResponseWriter: w}
		defer func() {
			m.requests.WithLabelValues(name, method, strconv.Itoa(status.code())).Inc()
			if !route.Stream {
				m.durations.WithLabelValues(name, method).Observe(time.Since(began).Seconds())
			}
		}()
		next.ServeHTTP(status, r)
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// code is the status; an answer without one is a panic's, or 200 by its first byte.
func (w *statusWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
