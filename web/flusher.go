package web

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
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
	writePatience  = 2 * time.Minute
	lastPatience   = 2 * time.Second
	answerPatience = 10 * time.Minute // for a whole answer that is not streamed

	flushBytes = 256 << 10
)

func newFlusher(ctx context.Context, w http.ResponseWriter) *flusher {
	return &flusher{ctx: ctx, w: w, rc: http.NewResponseController(w)}
}

func (f *flusher) send(text string) error { return f.write([]byte(text)) }

// write sends p in pieces, so that our patience is for a piece and not for a value
// that may be as long as memory allows. Who cancels waits for all of them no longer
// than lastPatience.
func (f *flusher) write(p []byte) error {
	var end time.Time // of our patience, once ctx is done
	for {
		piece := p[:min(len(p), flushBytes)]
		if end.IsZero() && f.ctx.Err() != nil {
			end = time.Now().Add(lastPatience)
		}
		if err := f.writePiece(piece, end); err != nil {
			return err
		}
		if p = p[len(piece):]; len(p) == 0 {
			return nil
		}
	}
}

func (f *flusher) writePiece(p []byte, end time.Time) error {
	// Not every writer (a test's recorder) has deadlines; it then has no
	// client that stalls either.
	if !end.IsZero() {
		_ = f.rc.SetWriteDeadline(end)
	} else {
		_ = f.rc.SetWriteDeadline(time.Now().Add(writePatience))
		// It is waited for: HTTP/2 has no deadlines after the answer.
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
	}
	if _, err := f.w.Write(p); err != nil {
		return err
	}
	return f.rc.Flush()
}

// sendBytes answers with content, which a statement returned that ends with ctx.
func sendBytes(ctx context.Context, c echo.Context, mediaType string, content []byte) error {
	w := c.Response()
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(http.StatusOK)
	if newFlusher(ctx, w).write(content) != nil {
		return errClientGone
	}
	return nil
}

// boundAnswers gives up clients that do not take a plain answer, which holds
// nothing but its memory and a connection. What is streamed has a flusher, which
// counts anew with every piece.
func boundAnswers(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		w := c.Response()
		w.Before(func() {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerPatience))
		})
		return next(c)
	}
}
