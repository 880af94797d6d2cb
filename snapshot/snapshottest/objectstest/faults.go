package objectstest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// A Fault answers a request in the server's place, or lets next do it.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// A Faulty is a server with faults before it.
type Faulty struct {
	URL      string
	Requests atomic.Int64
	fault    atomic.Pointer[Fault]
}

// Before puts a place for faults before an S3 server, and sets the environment
// so that clients come through it.
func Before(t testing.TB, s *Server) *Faulty {
	t.Helper()
	target := &url.URL{Scheme: "http", Host: s.Address}
	f := Wrap(t, &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	Environment(t, f.URL)
	return f
}

// Wrap serves a handler with faults before it.
func Wrap(t testing.TB, next http.Handler) *Faulty {
	t.Helper()
	f := &Faulty{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.Requests.Add(1)
		if fault := f.fault.Load(); fault != nil {
			(*fault)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Set makes a fault answer from now on; nil ends it.
func (f *Faulty) Set(fault Fault) {
	if fault == nil {
		f.fault.Store(nil)
		return
	}
	f.fault.Store(&fault)
}

// Times applies a fault to the first n requests.
func Times(n int64, fault Fault) Fault {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if count.Add(1) <= n {
			fault(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// Down closes connections without an answer.
func Down(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Answer returns a fault that answers with a status and an S3 error code.
func Answer(status int, code string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>made up</Message></Error>", code)
	}
}

// Cut ends the connection after n bytes of the body.
func Cut(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&cutter{w, n}, r)
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left]) // the connection ends anyway
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// Reset ends the connection after n bytes of the body without a goodbye, as a
// firewall does that has forgotten it.
func Reset(n int) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		defer func() {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			_ = conn.Close()
		}()
		defer func() { _ = recover() }() // of what cuts
		next.ServeHTTP(&cutter{w, n}, r)
	}
}

// Headers lets a function change the answer's header before it is sent.
func Headers(change func(status int, h http.Header)) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&changer{ResponseWriter: w, change: change}, r)
	}
}

type changer struct {
	http.ResponseWriter
	change func(int, http.Header)
	done   bool
}

func (c *changer) WriteHeader(status int) {
	if !c.done && status >= 200 {
		c.done = true
		c.change(status, c.Header())
	}
	c.ResponseWriter.WriteHeader(status)
}

// WithoutRange hides from the server that a part was asked for.
func WithoutRange(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r.Header.Del("Range")
	next.ServeHTTP(w, r)
}

// Only applies a fault to requests whose path ends so.
func Only(suffix string, fault Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, suffix) {
			fault(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}
