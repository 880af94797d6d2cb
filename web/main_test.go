package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapview/snapview/testneeds"
	"github.com/snapview/snapview/web"
	"github.com/snapview/snapview/web/webtest"
)

// One cluster serves all tests of the package; it is started by the first that
// needs it.
var shared struct {
	sync.Once
	cluster *webtest.Cluster
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stop PostgreSQL:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func cluster(t testing.TB) *webtest.Cluster {
	t.Helper()
	shared.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		shared.cluster, shared.err = webtest.StartCluster(ctx)
		if shared.err == nil {
			shared.err = shared.cluster.CreateDemo(ctx)
		}
	})
	if errors.Is(shared.err, webtest.ErrNoPostgreSQL) {
		testneeds.Missing(t, "PostgreSQL's server binaries (Debian: postgresql)")
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// env is a server over one session, and a browser that is logged in.
type env struct {
	t       testing.TB
	server  *web.Server
	session *webtest.Session
	base    string // http://127.0.0.1:port
	client  *http.Client
}

// newEnv starts a server over the shared cluster.
func newEnv(t testing.TB, change ...func(*web.Options)) *env {
	t.Helper()
	return newEnvOf(t, webtest.NewSession("demo", cluster(t).DSN), change...)
}

// newEnvOf starts a server over a session that may have no PostgreSQL.
func newEnvOf(t testing.TB, session *webtest.Session, change ...func(*web.Options)) *env {
	t.Helper()
	if _, err := contract(); err != nil {
		t.Fatal(err)
	}
	sessions := &webtest.Sessions{}
	sessions.Add(session)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := web.Options{Sessions: sessions, Listener: l}
	for _, f := range change {
		f(&opts)
	}
	server, err := web.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	e := &env{t: t, server: server, session: session, base: "http://" + l.Addr().String()}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		session.Wait()
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.client = &http.Client{Jar: jar, Timeout: 2 * time.Minute}
	res, err := e.client.Get(server.NewLoginURL("/"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("login: status %d", res.StatusCode)
	}
	return e
}

// request makes a request of the API as the page does.
func (e *env) request(method, path string, body any) *http.Request {
	e.t.Helper()
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			e.t.Fatal(err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, e.base+"/api/v1"+path, r)
	if err != nil {
		e.t.Fatal(err)
	}
	if method != http.MethodGet {
		req.Header.Set("X-Snapview", "1")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req
}

// an answer is a response that was read to its end and held against the
// contract.
type answer struct {
	status  int
	header  http.Header
	trailer http.Header
	body    []byte
}

func (e *env) do(req *http.Request) answer {
	e.t.Helper()
	res, err := e.client.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		e.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	a := answer{res.StatusCode, res.Header, res.Trailer, body}
	checkContract(e.t, req, a)
	return a
}

// call makes a request, wants a status, and decodes the answer into out.
func (e *env) call(method, path string, body any, status int, out any) answer {
	e.t.Helper()
	a := e.do(e.request(method, path, body))
	if a.status != status {
		e.t.Fatalf("%s %s: status %d, want %d: %.500s", method, path, a.status, status, a.body)
	}
	if out != nil {
		if err := json.Unmarshal(a.body, out); err != nil {
			e.t.Fatalf("%s %s: %v in %.500s", method, path, err, a.body)
		}
	}
	return a
}

// refused makes a request and wants a problem with this status and code.
func (e *env) refused(method, path string, body any, status int, code string) {
	e.t.Helper()
	a := e.do(e.request(method, path, body))
	wantProblem(e.t, a, status, code)
}

func wantProblem(t testing.TB, a answer, status int, code string) {
	t.Helper()
	var p web.Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("status %d, no problem: %v in %.300s", a.status, err, a.body)
	}
	if a.status != status || p.Status != status || p.Code != code {
		t.Fatalf("status %d, problem %+v; want %d %s", a.status, p, status, code)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("Content-Type %q", ct)
	}
}

const shop = "/sessions/demo/databases/shop"

// A result is a query's stream put together.
type result struct {
	Cols []struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		TypeOID  uint32 `json:"typeOID"`
		Relation uint32 `json:"relation"`
		Number   int    `json:"number"`
	}
	Rows    [][]any
	Batches []int // rows in each frame
	Notices []string
	End     queryEnd
}

type queryEnd struct {
	ID        string  `json:"id"`
	Rows      int64   `json:"rows"`
	Millis    float64 `json:"ms"`
	Truncated bool    `json:"truncated"`
	Tag       string  `json:"tag"`
	Error     *struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		SQLState string `json:"sqlstate"`
		Position int    `json:"position"`
		Hint     string `json:"hint"`
	} `json:"error"`
}

// query runs a statement in the demo database.
func (e *env) query(sql string, more ...map[string]any) result {
	e.t.Helper()
	body := map[string]any{"sql": sql}
	for _, m := range more {
		for k, v := range m {
			body[k] = v
		}
	}
	a := e.call(http.MethodPost, shop+"/query", body, http.StatusOK, nil)
	return parseResult(e.t, a.body)
}

var rowsLine = regexp.MustCompile(`^\{"count": *[1-9][0-9]*,"rows":\[\[`)

func parseResult(t testing.TB, body []byte) result {
	t.Helper()
	var r result
	ended := false
	for _, line := range strings.Split(strings.TrimSuffix(string(body), "\n"), "\n") {
		if ended {
			t.Fatalf("a frame after the end: %.200s", line)
		}
		var f struct {
			Cols   json.RawMessage
			Count  *int
			Rows   [][]any
			Notice *struct{ Message string }
			End    *queryEnd
		}
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("frame: %v in %.200s", err, line)
		}
		if f.Cols != nil {
			if err := json.Unmarshal(f.Cols, &r.Cols); err != nil {
				t.Fatal(err)
			}
		}
		if f.Rows != nil {
			r.Rows = append(r.Rows, f.Rows...)
			r.Batches = append(r.Batches, len(f.Rows))
			// The page counts on it without looking at the rows.
			if f.Count == nil || *f.Count != len(f.Rows) || !rowsLine.MatchString(line) {
				t.Fatalf("a frame of %d rows begins so: %.30s", len(f.Rows), line)
			}
		}
		if f.Notice != nil {
			r.Notices = append(r.Notices, f.Notice.Message)
		}
		if f.End != nil {
			r.End, ended = *f.End, true
		}
	}
	if !ended {
		t.Fatalf("the stream has no end frame: %.300s", body)
	}
	return r
}

// eventually waits for a condition, with patience for a busy machine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func dropDatabase(c *webtest.Cluster, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The cluster goes away with the tests in any case.
	_ = c.Exec(ctx, "postgres", "drop database "+name+" with (force)")
}
