package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

func (s *Server) runExport(c echo.Context) error {
	session, plan, err := s.requestedExport(c)
	if err != nil {
		return err
	}
	return s.export(c, session, plan, nil)
}

// export runs the statement and streams the file. Errors until the first row
// is asked for are problems; later ones end the file: with a line that says so
// where the format has one, with trailers for a program, and for a browser
// (offer), which knows no trailers, by breaking the connection off, so that it
// does not keep a part for the whole.
func (s *Server) export(c echo.Context, session Session, plan exportPlan, offer *offered) (err error) {
	p := plan.file()
	timeout, err := s.timeout(p.TimeoutSeconds)
	if err != nil {
		return err
	}
	ctx, run, ended, err := s.begin(c, session, p.ID, "export", p.database, p.statement, timeout)
	if err != nil {
		return err
	}
	offer.runs(run)
	var brokeOff error // after the first byte
	defer func() { ended(errors.Join(err, brokeOff)) }()
	open, err := plan.open(ctx, s, session)
	if err != nil {
		return err
	}
	defer open.close()
	format := exportFormats[p.Format]
	w := c.Response()
	h := w.Header()
	h.Set("Content-Type", format.mediaType)
	if packing, ok := packings[p.Compression]; ok {
		h.Set("Content-Type", packing.mediaType)
	}
	h.Set("Content-Disposition", attachment(p.name))
	h.Set("X-Snapview-Query", run.key.id)
	h.Set("Trailer", "X-Snapview-Rows, X-Snapview-Error")
	w.WriteHeader(http.StatusOK)

	out, err := newPacker(&countingWriter{newFlusher(ctx, w), run}, p.Compression)
	if err != nil {
		return err
	}
	brokeOff = open.write(ctx, run, out.Writer)
	switch {
	case brokeOff == nil:
		if out.close(true) != nil {
			brokeOff = because(ctx, errClientGone)
			offer.failed(brokeOff)
			return nil // there is nobody to tell
		}
	case errors.Is(brokeOff, errClientGone):
		brokeOff = because(ctx, brokeOff)
		offer.failed(brokeOff)
		return nil
	default:
		problem := problemOf(brokeOff, p.SQL)
		if ctx.Err() != nil {
			offer.failed(context.Cause(ctx)) // whatever PostgreSQL says of it
		} else {
			offer.failed(problem)
		}
		message := strings.Join(strings.Fields(problem.Error()), " ")
		s.log.Warn("export failed", "session", session.Info().ID, "code", problem.Code)
		if format.comment != "" {
			_, _ = out.WriteString("\n" + format.comment + "snapview: export failed after " + strconv.FormatInt(run.rows.Load(), 10) + " rows: " + message + "\n")
		}
		_ = out.close(false) // fails when the client is gone: there is nobody to tell
		if offer != nil {
			// The headers at least: a request without any answer is made again.
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		h.Set("X-Snapview-Error", strings.Trim(strconv.QuoteToASCII(problem.Code+": "+message), `"`))
	}
	h.Set("X-Snapview-Rows", strconv.FormatInt(run.rows.Load(), 10))
	return nil
}

// A rowWriter writes rows in one format. An error of it is the client's, unless
// it is a Problem: a value that the format cannot hold. One that has formats()
// gets the values in those of PostgreSQL's formats.
type rowWriter interface {
	begin() error
	row(values [][]byte) error
	end() error
}

// streamRows writes the rows, limit of them at most if it is not 0.
func streamRows(ctx context.Context, g *gate, run *running, w rowWriter, limit int64) error {
	if err := w.begin(); err != nil {
		return errClientGone
	}
	var formats []int16
	if f, ok := w.(interface{ formats() []int16 }); ok {
		formats = f.formats()
	}
	rr := g.run(ctx, formats...)
	for n := int64(0); rr.NextRow(); n++ {
		if limit > 0 && n == limit {
			// Closing the gate cancels the rest.
			if w.end() != nil {
				return errClientGone
			}
			return nil
		}
		if err := w.row(rr.Values()); err != nil {
			if p := (*Problem)(nil); errors.As(err, &p) {
				return p
			}
			return errClientGone
		}
		run.rows.Add(1)
	}
	if _, err := g.finish(ctx, rr); err != nil {
		return err
	}
	if err := w.end(); err != nil {
		return errClientGone
	}
	return nil
}

// countingWriter makes each write leave at once, and counts it.
type countingWriter struct {
	f   *flusher
	run *running
}

func (w *countingWriter) Write(p []byte) (int, error) {
	if err := w.f.write(p); err != nil {
		return 0, err
	}
	w.run.bytes.Add(int64(len(p)))
	return len(p), nil
}
