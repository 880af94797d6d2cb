package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
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
	refused := func(by string, n *atomic.Int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "snapview_statements_refused_total", Help: "Statements that did not run because as many ran as may at once, by whose limit it was.",
			ConstLabels: prometheus.Labels{"limit": by},
		}, func() float64 { return float64(n.Load()) })
	}
	running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "snapview_statements_running", Help: "Statements and exports that run now.",
	}, func() float64 { return float64(s.queries.count()) })
	if s.opts.AuditState != nil {
		m.registry.MustRegister(auditCollectors(s.opts.AuditState)...)
	}
	m.registry.MustRegister(running, refused("session", &s.queries.refusedBySession), refused("user", &s.queries.refusedByUser))
	m.registry.MustRegister(m.statements, m.seconds, m.rows, m.requests, sessionsCollector{s.opts.Sessions},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// auditCollectors tell of an audit log that is not whole.
func auditCollectors(state func() (int64, error)) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "snapview_audit_records_lost_total", Help: "Statements and acts that the audit log does not have, because it could not be written.",
		}, func() float64 { lost, _ := state(); return float64(lost) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "snapview_audit_failing", Help: "1 while the audit log cannot be written.",
		}, func() float64 {
			if _, why := state(); why != nil {
				return 1
			}
			return 0
		}),
	}
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
// it where only the monitoring system comes. On a network address that is what the
// network lets through, and whoever gets there may ask by any name, as scrapers do.
// A loopback address every browser of the host gets to, and with it a page of
// somebody else whose name was made to resolve there (DNS rebinding): there the
// Host must be the address that the request came in on, localhost, or one of
// Options.AllowedHosts.
func (s *Server) Metrics() http.Handler {
	figures := promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})
	var told sync.Once // what a monitoring system is answered nobody reads
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local := loopback(r); local != "" && !s.hostAllowed(r) {
			name := r.Host
			if host, _, err := net.SplitHostPort(name); err == nil {
				name = host
			}
			told.Do(func() {
				s.log.Warn("metrics were asked for by a name that is not ours", "host", r.Host, "address", local, "help", "scrape the address, or start with --allowed-host")
			})
			http.Error(w, fmt.Sprintf("metrics are not served for the host %q on a loopback address: scrape %s, or start snapview serve with --allowed-host %q", r.Host, local, name),
				http.StatusMisdirectedRequest)
			return
		}
		figures.ServeHTTP(w, r)
	})
}

// loopback returns the address that a request came in on if only this host
// reaches it, or if it is not known.
func loopback(r *http.Request) string {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	switch {
	case !ok:
		return "the address that it listens on"
	case local.IP.IsLoopback():
		return local.String()
	}
	return ""
}

// sessionsCollector looks at the sessions when it is asked.
type sessionsCollector struct{ sessions Sessions }

var (
	descSessions = prometheus.NewDesc("snapview_sessions", "Sessions by state.", []string{"state"}, nil)
	descOverlay  = prometheus.NewDesc("snapview_overlay_bytes", "Bytes that a session's overlay holds.", []string{"session"}, nil)
	descRead     = prometheus.NewDesc("snapview_backup_read_bytes_total", "Bytes read from a session's backup.", []string{"session"}, nil)
	descHolding  = prometheus.NewDesc("snapview_overlay_holding", "1 while a session's writes wait for room.", []string{"session"}, nil)
	descExpires  = prometheus.NewDesc("snapview_session_expires_timestamp_seconds", "When a session's time to live is over, for those that have one.", []string{"session"}, nil)

	// What all sessions share. A limit that there is not has no sample.
	descOpen         = prometheus.NewDesc("snapview_sessions_open", "Sessions that are open, being opened or being closed.", nil, nil)
	descOpenLimit    = prometheus.NewDesc("snapview_sessions_open_limit", "How many sessions may be open.", nil, nil)
	descOverlays     = prometheus.NewDesc("snapview_overlays_bytes", "Bytes of data that the overlays of all sessions hold together.", nil, nil)
	descOverlayLimit = prometheus.NewDesc("snapview_overlays_limit_bytes", "How many bytes they may hold before writes are held.", nil, nil)
	descMemory       = prometheus.NewDesc("snapview_memory_promised_bytes", "Memory that the servers of all sessions may take together.", nil, nil)
	descMemoryLimit  = prometheus.NewDesc("snapview_memory_promised_limit_bytes", "How much memory they may be promised.", nil, nil)
)

func (sessionsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descSessions, descOverlay, descRead, descHolding, descExpires,
		descOpen, descOpenLimit, descOverlays, descOverlayLimit, descMemory, descMemoryLimit,
	} {
		ch <- d
	}
}

// collectTotals tells what the sessions hold together.
func collectTotals(t *Totals, ch chan<- prometheus.Metric) {
	if t == nil {
		return
	}
	for _, each := range []struct {
		total       Total
		used, limit *prometheus.Desc
	}{
		{t.Sessions, descOpen, descOpenLimit},
		{t.OverlayBytes, descOverlays, descOverlayLimit},
		{t.MemoryBytes, descMemory, descMemoryLimit},
	} {
		ch <- prometheus.MustNewConstMetric(each.used, prometheus.GaugeValue, float64(each.total.Used))
		if each.total.Limit > 0 {
			ch <- prometheus.MustNewConstMetric(each.limit, prometheus.GaugeValue, float64(each.total.Limit))
		}
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
		if info.ExpiresAt != nil {
			ch <- prometheus.MustNewConstMetric(descExpires, prometheus.GaugeValue, float64(info.ExpiresAt.Unix()), info.ID)
		}
	}
	collectTotals(c.sessions.Totals(ctx), ch)
	for state, n := range states {
		ch <- prometheus.MustNewConstMetric(descSessions, prometheus.GaugeValue, float64(n), string(state))
	}
}
