package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
)

// Content is bytes that are kept in a database, in a bytea or as a large
// object. Besides the whole as a download there are pieces of it, for showing
// its bytes or its text without reading all of it, and pictures of a few types
// that a browser cannot be harmed by.

// The bounds of a piece and of a picture, in bytes.
const (
	defaultPiece = 64 << 10
	maxPiece     = 1 << 20
	maxPicture   = 32 << 20
)

// A contentRequest says which bytes are wanted and as what.
type contentRequest struct {
	as     string // binary, image, or text for what is no content
	piece  bool   // offset and length hold
	offset int
	length int
}

func contentParams(c echo.Context) (r contentRequest, err error) {
	switch r.as = c.QueryParam("as"); r.as {
	case "", "text", "binary", "image":
	default:
		return r, badRequest("as must be text, binary or image")
	}
	if r.piece = c.QueryParam("offset") != "" || c.QueryParam("length") != ""; r.piece && r.as != "binary" {
		return r, badRequest("offset and length are for as=binary")
	}
	if r.offset, err = intParam(c, "offset", 0, 0, 1<<40); err != nil {
		return r, err
	}
	r.length, err = intParam(c, "length", defaultPiece, 1, maxPiece)
	return r, err
}

// A piece is part of a content.
type piece struct {
	bytes []byte
	head  []byte // its beginning
	total int64  // bytes of the whole
}

// pieceOf reads a piece from the values of a statement: the bytes, the
// beginning, both binary, and the length as text.
func pieceOf(values [][]byte) (piece, error) {
	total, err := strconv.ParseInt(string(values[2]), 10, 64)
	return piece{values[0], values[1], total}, err
}

// pieceFormats are the formats of such a statement's values.
var pieceFormats = []int16{1, 1, 0}

// sendPiece answers with the bytes and says in headers what they are part of.
// They go out as nothing that a browser would show.
func sendPiece(ctx context.Context, c echo.Context, p piece) error {
	s := sniff(p.head, int64(len(p.head)) == p.total)
	h := c.Response().Header()
	h.Set("X-Snapview-Media-Type", s.media)
	h.Set("X-Snapview-Look", string(s.look))
	if s.charset != "" {
		h.Set("X-Snapview-Charset", s.charset)
	}
	h.Set("X-Snapview-Bytes", strconv.FormatInt(p.total, 10))
	h.Set("Content-Disposition", "attachment")
	return sendBytes(ctx, c, "application/octet-stream", p.bytes)
}

// sendPicture answers with a picture as what it is. Whatever else its bytes may
// be, a browser takes them for a picture (nosniff), and a page that is opened on
// them may do nothing at all (sandbox).
func sendPicture(ctx context.Context, c echo.Context, content []byte) error {
	media, width, height, err := imageSize(content)
	if err != nil {
		return notAPicture(err.Error())
	}
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("X-Snapview-Pixels", fmt.Sprintf("%dx%d", width, height))
	return sendBytes(ctx, c, media, content)
}

func notAPicture(why string) *Problem {
	return problem(http.StatusUnprocessableEntity, "not-supported", "the content cannot be shown as a picture: "+why).
		withHint("download it, or look at its bytes")
}
