package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what a monitoring system asks a server for, in Prometheus' text
// format. Names follow its conventions: base units, _total for counters.
type metrics struct {
	registry   *prometheus.Registry
	statements *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	rows       prometheus.Counter
	requests   *prometheus.CounterVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		statements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapview_statements_total", Help: "Statements that clients of the page ran, by kind and outcome.",
		}, []string{"kind", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "snapview_statement_duration_seconds", Help: "How long statements took, to their last row.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 11), // 1 ms to 17 min
		}, []string{"kind"}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "snapview_rows_total", Help: "Rows that were sent to clients of the page.",
		}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapview_http_requests_total", Help: "Requests by method and status.",
		}, []string{"method", "code"}),
	}
	m.registry.MustRegister(m.statements, m.seconds, m.rows, m.requests, sessionsCollector{s.opts.Sessions},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) statement(st Statement) {
	m.statements.WithLabelValues(st.Kind, st.Outcome).Inc()
	m.seconds.WithLabelValues(st.Kind).Observe(st.Millis / 1000)
	m.rows.Add(float64(st.Rows))
}

func (m *metrics) request(method string, status int) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(method, strconv.Itoa(status)).Inc()
}

// Metrics returns a handler of the server's metrics. It asks for no login: serve
// it where only the monitoring system comes.
func (s *Server) Metrics() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
}

// sessionsCollector looks at the sessions when it is asked.
type sessionsCollector struct{ sessions Sessions }

var (
	descSessions = prometheus.NewDesc("snapview_sessions", "Sessions by state.", []string{"state"}, nil)
	descOverlay  = prometheus.NewDesc("snapview_overlay_bytes", "Bytes that a session's overlay holds.", []string{"session"}, nil)
	descRead     = prometheus.NewDesc("snapview_backup_read_bytes_total", "Bytes read from a session's backup.", []string{"session"}, nil)
	descHolding  = prometheus.NewDesc("snapview_overlay_holding", "1 while a session's writes wait for room.", []string{"session"}, nil)
)

func (sessionsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSessions, descOverlay, descRead, descHolding} {
		ch <- d
	}
}

func (c sessionsCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	list, err := c.sessions.List(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(descSessions, err)
		return
	}
	states := map[State]int{StateOpening: 0, StateReady: 0, StateClosing: 0, StateClosed: 0, StateFailed: 0}
	for _, session := range list {
		info := session.Info()
		states[info.State]++
		if info.State == StateClosed || info.State == StateFailed {
			continue
		}
		holding := 0.0
		if info.Stats.Holding {
			holding = 1
		}
		ch <- prometheus.MustNewConstMetric(descOverlay, prometheus.GaugeValue, float64(info.Stats.OverlayBytes), info.ID)
		ch <- prometheus.MustNewConstMetric(descRead, prometheus.CounterValue, float64(info.Stats.BackupBytesRead), info.ID)
		ch <- prometheus.MustNewConstMetric(descHolding, prometheus.GaugeValue, holding, info.ID)
	}
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(descSessions, prometheus.GaugeValue, float64(n), string(state))
	}
}
