package web

import (
	"context"
	"io"
	"net/http"
	"time"
)

// A flusher writes to a client and makes it leave at once. A client that takes
// nothing for writePatience is given up, so that it cannot hold a statement
// open for ever; once ctx is done he has no longer than lastPatience, so that who
// cancels need not wait for him either.
type flusher struct {
	ctx context.Context //nolint:containedctx // of the one answer that is written
	w   io.Writer
	rc  *http.ResponseController
}

const (
	writePatience = 2 * time.Minute
	lastPatience  = 2 * time.Second
)

func newFlusher(ctx context.Context, w http.ResponseWriter) *flusher {
	return &flusher{ctx: ctx, w: w, rc: http.NewResponseController(w)}
}

func (f *flusher) send(text string) error { return f.write([]byte(text)) }

func (f *flusher) write(p []byte) error {
	// Not every writer (a test's recorder) has deadlines; it then has no
	// client that stalls either.
	_ = f.rc.SetWriteDeadline(time.Now().Add(writePatience))
	// It is waited for: after the answer the connection is another request's, and
	// HTTP/2 has none any more.
	set := make(chan struct{})
	stop := context.AfterFunc(f.ctx, func() {
		defer close(set)
		_ = f.rc.SetWriteDeadline(time.Now().Add(lastPatience))
	})
	defer func() {
		if !stop() {
			<-set
		}
	}()
	if _, err := f.w.Write(p); err != nil {
		return err
	}
	return f.rc.Flush()
}
