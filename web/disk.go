package web

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// openDisk opens the disk that a request names.
func (s *Server) openDisk(c echo.Context) (Disk, error) {
	session, err := s.session(c)
	if err != nil {
		return nil, err
	}
	checkpoint := c.QueryParam("checkpoint")
	if checkpoint == "" {
		return nil, badRequest("checkpoint must say whose disk: make one first, or base for the backup's own")
	}
	return session.Disk(c.Request().Context(), checkpoint)
}

// getDisk serves an image. What fails after it began breaks the connection
// off, so that nobody takes half an image for a whole one.
func (s *Server) getDisk(c echo.Context) (err error) {
	format := c.QueryParam("format")
	if format != "" && format != "raw" && format != "qcow2" {
		return badRequest("format must be raw or qcow2")
	}
	session, err := s.session(c)
	if err != nil {
		return err
	}
	disk, err := s.openDisk(c)
	if err != nil {
		return err
	}
	defer s.closeDisk(disk)
	// Every row of every database, without a statement.
	began, name := time.Now(), c.QueryParam("checkpoint")
	detail := "the disk of " + name
	if ranges := c.Request().Header.Get("Range"); ranges != "" {
		detail += ", " + firstRunes(ranges, 200)
	}
	out := &diskWriter{ResponseWriter: c.Response(), f: newFlusher(c.Request().Context(), c.Response())}
	defer func() {
		failure := err
		if out.failed {
			failure = errClientGone
		}
		s.record(c, session.Info(), Statement{Time: began, Kind: "disk", Detail: detail}, failure)
	}()
	h := c.Response().Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	if format != "qcow2" {
		h.Set("Content-Disposition", attachment(name+".img"))
		h.Set("ETag", `"`+name+`"`)
		read := &diskReader{r: io.NewSectionReader(disk, 0, disk.Size())}
		http.ServeContent(out, c.Request(), "", time.Time{}, read)
		if read.failed != nil {
			s.log.Warn("exporting a disk failed", "checkpoint", name, "error", read.failed)
		}
		return read.failed
	}
	h.Set("Content-Disposition", attachment(name+".qcow2"))
	c.Response().WriteHeader(http.StatusOK)
	if err = disk.WriteQcow2(out); err != nil {
		s.log.Warn("exporting a disk failed", "checkpoint", name, "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// A diskWriter gives a client that takes nothing up, and knows that he is gone.
type diskWriter struct {
	http.ResponseWriter
	f      *flusher
	failed bool
}

func (w *diskWriter) Write(p []byte) (int, error) {
	if err := w.f.write(p); err != nil {
		w.failed = true
		return 0, err
	}
	return len(p), nil
}

// A diskReader keeps the error of a read, which net/http does not tell: it only
// ends the answer, too short for the length that it promised.
type diskReader struct {
	r      io.ReadSeeker
	failed error
}

func (d *diskReader) Seek(offset int64, whence int) (int64, error) { return d.r.Seek(offset, whence) }

func (d *diskReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		d.failed = err
	}
	return n, err
}

func (s *Server) getDiskExtents(c echo.Context) error {
	disk, err := s.openDisk(c)
	if err != nil {
		return err
	}
	defer s.closeDisk(disk)
	out := struct {
		Bytes   int64      `json:"bytes"`
		Extents [][2]int64 `json:"extents"`
	}{disk.Size(), [][2]int64{}}
	err = disk.Data(func(off, n int64) bool {
		out.Extents = append(out.Extents, [2]int64{off, n})
		return true
	})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, out)
}

func (s *Server) closeDisk(d Disk) {
	if err := d.Close(); err != nil {
		s.log.Warn("closing a disk", "error", err)
	}
}
