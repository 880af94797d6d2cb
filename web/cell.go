package web

import (
	"context"
	"fmt"
	"mime"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// getCell sends one value in full, or a piece of it. Whatever the bytes look
// like, they go out as plain text, as a download or as a picture of a few types,
// so that nothing in a backup runs in a browser.
func (s *Server) getCell(c echo.Context) error {
	session, q, err := s.rowQuery(c)
	if err != nil {
		return err
	}
	n, err := intParam(c, "column", 0, 1, 32767)
	if err != nil {
		return err
	}
	col := q.rel.column(n)
	if col == nil || q.key == "" {
		return badRequest("column and key must name a value of the relation")
	}
	download, err := boolParam(c, "download")
	if err != nil {
		return err
	}
	want, err := contentParams(c)
	if err != nil {
		return err
	}
	bytea := col.BaseOID == oidBytea
	if !bytea && (want.as == "binary" || want.as == "image") {
		return badRequest("only a bytea can be had as " + want.as)
	}
	where, err := q.conditions()
	if err != nil {
		return err
	}
	name, from := quoteName(col.Name), " FROM "+q.rel.from()+whereClause(where)
	sql := "SELECT " + name + from
	var formats []int16
	send := func(ctx context.Context, values [][]byte) error {
		return sendCell(ctx, c, q.rel, col, values[0], bytea && want.as != "text", download)
	}
	switch {
	case want.piece:
		sql = fmt.Sprintf("SELECT substring(%[1]s from %[2]d for %[3]d), substring(%[1]s from 1 for %[4]d), octet_length(%[1]s)%[5]s",
			name, min(want.offset, 1<<30)+1, want.length, sniffBytes, from) // a bytea has 1 GiB at most
		formats = pieceFormats
		send = func(ctx context.Context, values [][]byte) error {
			p, err := pieceOf(values)
			if err != nil {
				return err
			}
			return sendPiece(ctx, c, p)
		}
	case want.as == "image":
		sql = fmt.Sprintf("SELECT CASE WHEN octet_length(%[1]s) > %[2]d THEN ''::bytea ELSE %[1]s END%[3]s", name, maxPicture, from)
		formats = []int16{1}
		send = func(ctx context.Context, values [][]byte) error {
			if len(values[0]) == 0 {
				return notAPicture("it is empty, or longer than 32 MiB")
			}
			return sendPicture(ctx, c, values[0])
		}
	case bytea && want.as != "text":
		formats = []int16{1}
	}
	found := false
	err = s.through(c, session, sql, func(g *gate, values [][]byte) (bool, error) {
		found = true
		if values[0] == nil {
			return lastRow(c.NoContent(http.StatusNoContent))
		}
		return lastRow(send(g.ctx, values))
	}, formats...)
	if err == nil && !found {
		return problem(http.StatusNotFound, "row-not-found", "there is no row with this key")
	}
	return err
}

func sendCell(ctx context.Context, c echo.Context, rel *relation, col *column, value []byte, binary, download bool) error {
	h := c.Response().Header()
	contentType, ext := "text/plain; charset=utf-8", ".txt"
	if binary {
		contentType, ext = "application/octet-stream", ".bin"
		h.Set("X-Snapview-Media-Type", http.DetectContentType(value))
		ext = extensionOf(value)
	}
	if binary || download {
		h.Set("Content-Disposition", attachment(rel.Name+"-"+col.Name+ext))
	}
	h.Set("Content-Length", strconv.Itoa(len(value)))
	return sendBytes(ctx, c, contentType, value)
}

// extensionOf guesses what a file with this beginning should end in.
func extensionOf(content []byte) string {
	media := http.DetectContentType(content)
	if exts, err := mime.ExtensionsByType(media); err == nil && len(exts) > 0 && media != "application/octet-stream" {
		return exts[0]
	}
	return ".bin"
}

// attachment returns a Content-Disposition for a file name that may hold
// anything; names that are not ASCII go as RFC 6266 says.
func attachment(name string) string {
	clean := make([]rune, 0, len(name))
	for _, r := range validText(name) {
		switch {
		case r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0):
			// Control characters.
		case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			// Marks that turn the direction of writing, and so hide what a
			// name ends in.
		case r == '/' || r == '\\' || r == ':' || r == '"' || r == '<' || r == '>' || r == '|' || r == '?' || r == '*':
			clean = append(clean, '_')
		default:
			clean = append(clean, r)
		}
	}
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": firstRunes(string(clean), 150)}); v != "" {
		return v
	}
	return "attachment"
}
