package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
)

// Large objects are files kept in the database (pg_largeobject), each under an
// OID. They are read through functions alone: the table behind them is the
// superuser's.

type largeObject struct {
	OID     uint32 `json:"oid"`
	Owner   string `json:"owner"`
	Comment string `json:"comment,omitempty"`
	Bytes   int64  `json:"bytes"`
}

// sqlLargeObjects: $1 the last OID of the page before, $2 how many. 262144 is
// INV_READ, 2 is SEEK_END (libpq/libpq-fs.h); descriptors end with the
// statement's transaction.
const sqlLargeObjects = `select m.oid, pg_catalog.pg_get_userbyid(m.lomowner)::text,
	coalesce(pg_catalog.obj_description(m.oid, 'pg_largeobject'), ''), pg_catalog.lo_lseek64(pg_catalog.lo_open(m.oid, 262144), 0, 2)
	from (select * from pg_catalog.pg_largeobject_metadata where oid > $1 order by oid limit $2) m order by m.oid`

func (s *Server) listLargeObjects(c echo.Context) error {
	session, pool, err := s.database(c)
	if err != nil {
		return err
	}
	limit, err := intParam(c, "limit", 200, 1, 1000)
	if err != nil {
		return err
	}
	after, err := intParam(c, "after", 0, 0, 1<<32-1)
	if err != nil {
		return err
	}
	ctx, cancel := catalogContext(c)
	defer cancel()
	began := time.Now()
	list, err := collect[largeObject](ctx, pool, sqlLargeObjects, uint32(after), limit+1)
	s.record(c, session.Info(), Statement{
		Time: began, Database: param(c, "db"), Kind: "rows", SQL: fmt.Sprintf("%s -- $1 = %d, $2 = %d", sqlLargeObjects, after, limit+1), Rows: int64(len(list)),
	}, err)
	if err != nil {
		return err
	}
	out := struct {
		Items []largeObject `json:"items"`
		Next  uint32        `json:"next,omitempty"`
	}{Items: list}
	if len(list) > limit {
		out.Items, out.Next = list[:limit], list[limit-1].OID
	}
	return c.JSON(http.StatusOK, out)
}

// pieceBytes is how much of a large object is read at a time.
const pieceBytes = 256 << 10

// getLargeObject sends the content as a download, whatever it looks like, or a
// piece or a picture of it.
func (s *Server) getLargeObject(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	oid, err := oidParam(c)
	if err != nil {
		return err
	}
	want, err := contentParams(c)
	if err != nil {
		return err
	}
	switch {
	case want.as == "text":
		return badRequest("a large object has no text form: ask for as=binary")
	case want.piece || want.as == "image":
		return s.lookIntoLargeObject(c, session, oid, want)
	}
	return s.sendLargeObject(c, session, oid)
}

// lookIntoLargeObject answers with a piece or a picture.
func (s *Server) lookIntoLargeObject(c echo.Context, session Session, oid uint32, want contentRequest) error {
	if want.as == "image" {
		want.length = maxPicture
	}
	sql := fmt.Sprintf("SELECT pg_catalog.lo_get(%d, %d, %d), pg_catalog.lo_get(%[1]d, 0, %[4]d), pg_catalog.lo_lseek64(pg_catalog.lo_open(%[1]d, 262144), 0, 2)",
		oid, want.offset, want.length, sniffBytes)
	return s.through(c, session, sql, func(g *gate, values [][]byte) (bool, error) {
		p, err := pieceOf(values)
		switch {
		case err != nil:
			return false, err
		case want.as != "image":
			return lastRow(sendPiece(g.ctx, c, p))
		case p.total == 0 || p.total > maxPicture:
			return false, notAPicture("it is empty, or longer than 32 MiB")
		}
		return lastRow(sendPicture(g.ctx, c, p.bytes))
	}, pieceFormats...)
}

func (s *Server) sendLargeObject(c echo.Context, session Session, oid uint32) (err error) {
	id := strconv.FormatUint(uint64(oid), 10)
	sql := "SELECT pg_catalog.lo_get(" + id + ", at, " + strconv.Itoa(pieceBytes) + ") FROM pg_catalog.generate_series(0, greatest(0, " +
		"pg_catalog.lo_lseek64(pg_catalog.lo_open(" + id + ", 262144), 0, 2) - 1), " + strconv.Itoa(pieceBytes) + ") AS at"
	w := c.Response()
	var out *flusher
	err = s.through(c, session, sql, func(g *gate, values [][]byte) (bool, error) {
		if out == nil {
			out = newFlusher(g.ctx, w)
			h := w.Header()
			h.Set("Content-Type", "application/octet-stream")
			h.Set("X-Snapview-Media-Type", http.DetectContentType(values[0]))
			h.Set("Content-Disposition", attachment("large-object-"+id+extensionOf(values[0])))
			w.WriteHeader(http.StatusOK)
		}
		if out.write(values[0]) != nil {
			return false, because(g.ctx, errClientGone)
		}
		return true, nil
	}, 1)
	if out != nil && err != nil {
		if !wasCancelled(err) {
			s.log.Warn("reading a large object failed", "oid", oid, "error", err)
		}
		panic(http.ErrAbortHandler) // half a file must not look like a whole one
	}
	return err
}
