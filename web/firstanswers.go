package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
)

// answersMark stands in index.html where the answers belong that the page would
// ask for as soon as it runs. They come with it: a browser then shows a view
// after two round trips instead of three, and draws it once instead of twice.
const answersMark = "FIRST_ANSWERS"

const (
	// firstWithin bounds how long a page waits for its answers, which it can
	// ask for itself and then gets from where they are being made (firstasks.go).
	// The browser loads the page's files meanwhile.
	firstWithin = 100 * time.Millisecond
	// firstBytes bounds one of them; the page has more to do with longer ones
	// than to wait for them.
	firstBytes = 256 << 10
)

// writeFirstAnswers writes what the API answers to the page's first requests at
// the address of r, as one JSON object of answers by path. They are asked of
// the handler itself, with the caller's own headers, so that nobody gets here
// what he would not get there. What is refused, late or too long is left out.
func (s *Server) writeFirstAnswers(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), firstWithin)
	defer cancel()
	answers := make(map[string]json.RawMessage)
	id, rest, ok := sessionAddress(c.Request().URL)
	if ok {
		base := "/api/v1/sessions/" + url.PathEscape(id)
		if info, got := s.firstAnswer(ctx, c.Request(), base); got {
			answers[base] = info
			s.addAnswers(ctx, c.Request(), answers, firstRequests(base, rest, c.Request().URL.Query()))
		}
	}
	b, err := json.Marshal(answers) // which leaves no < in it that could end the element
	if err != nil {
		return err
	}
	_, err = c.Response().Write(b)
	return err
}

// addAnswers asks for all paths at once.
func (s *Server) addAnswers(ctx context.Context, r *http.Request, answers map[string]json.RawMessage, paths []string) {
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	for _, path := range paths {
		wg.Go(func() {
			if body, ok := s.firstAnswer(ctx, r, path); ok {
				mu.Lock()
				defer mu.Unlock()
				answers[path] = body
			}
		})
	}
	wg.Wait()
}

// sessionAddress splits the address of a session's view: /s/ID/rest.
func sessionAddress(u *url.URL) (id string, rest []string, ok bool) {
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i := range parts {
		plain, err := url.PathUnescape(parts[i])
		if err != nil {
			return "", nil, false
		}
		parts[i] = plain
	}
	if len(parts) < 2 || parts[0] != "s" || parts[1] == "" {
		return "", nil, false
	}
	return parts[1], parts[2:], true
}

// firstRequests returns what the view at an address asks for first, as the page
// writes it (web/ui/src): a path that differs in a letter is not found there.
// Rows and sizes are not among them: they can take long.
func firstRequests(base string, view []string, query url.Values) []string {
	paths := []string{base + "/databases?sizes=false"}
	switch {
	case len(view) == 0:
		paths = append(paths, base+"/snapshot")
	case len(view) == 2 && view[0] == "db":
		db := base + "/databases/" + url.PathEscape(view[1])
		if query.Has("kind") {
			break
		}
		paths = append(paths, db+"/schemas")
		if query.Has("schema") && !query.Has("q") && !query.Has("system") {
			paths = append(paths, db+"/relations?schema="+url.QueryEscape(query.Get("schema"))+"&sort=size&limit=100")
		}
	case len(view) == 5 && view[0] == "db" && view[2] == "t":
		paths = append(paths, base+"/databases/"+url.PathEscape(view[1])+
			"/schemas/"+url.PathEscape(view[3])+"/relations/"+url.PathEscape(view[4]))
	}
	return paths
}

type firstAskKey struct{}

// The roles of a request that the server makes of itself: one waits for an answer
// as long as the page does, the other makes it.
type firstAskRole int

const (
	firstAskWaits firstAskRole = iota + 1
	firstAskRuns
)

// isFirstAsk says whether it is the server that asks, and no client: that is no
// request, and one that took too long for the page is not one that failed.
func isFirstAsk(ctx context.Context) bool { return ctx.Value(firstAskKey{}) != nil }

// firstAnswer asks our own handler for path as the sender of r would.
func (s *Server) firstAnswer(ctx context.Context, r *http.Request, path string) (json.RawMessage, bool) {
	u, err := url.Parse(path)
	if err != nil {
		return nil, false
	}
	ask := r.Clone(context.WithValue(ctx, firstAskKey{}, firstAskWaits))
	ask.URL, ask.RequestURI = u, path
	for _, name := range []string{"Accept-Encoding", "Range", "If-None-Match", "If-Modified-Since"} {
		ask.Header.Del(name)
	}
	ask.Header.Set("Accept", "application/json")
	w := newAnswerWriter(firstBytes)
	s.http.Handler.ServeHTTP(w, ask)
	if w.status != http.StatusOK || w.over || ctx.Err() != nil || !json.Valid(w.body.Bytes()) {
		return nil, false
	}
	return bytes.TrimSpace(w.body.Bytes()), true
}

// An answerWriter keeps an answer of at most limit bytes.
type answerWriter struct {
	limit  int
	header http.Header
	status int
	body   bytes.Buffer
	over   bool
}

func newAnswerWriter(limit int) *answerWriter {
	return &answerWriter{limit: limit, header: make(http.Header)}
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *answerWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(p) > w.limit {
		w.over = true
	} else if !w.over {
		w.body.Write(p)
	}
	return len(p), nil
}
