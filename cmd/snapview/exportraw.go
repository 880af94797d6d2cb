package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
)

// diskExtents is where a disk may hold something but zeros.
type diskExtents struct {
	Bytes   int64      `json:"bytes"`
	Extents [][2]int64 `json:"extents"` // offset and length, ascending
}

func (d *diskExtents) sum() (n int64) {
	for _, e := range d.Extents {
		n += e[1]
	}
	return n
}

// check refuses ranges that do not lie in the disk one after another.
func (d *diskExtents) check() error {
	var end int64
	for _, e := range d.Extents {
		if e[0] < end || e[1] <= 0 || e[1] > d.Bytes-e[0] {
			return fmt.Errorf("the session says that there is data at %d+%d of a disk of %d bytes", e[0], e[1], d.Bytes)
		}
		end = e[0] + e[1]
	}
	return nil
}

// rangesAtOnce is how many ranges one request asks for: a header of a few
// kilobytes.
const rangesAtOnce = 128

// copyRaw writes the disk into an empty file, of the disk's length and with
// holes where it has zeros.
func copyRaw(ctx context.Context, api *control, query string, d *diskExtents, out *exportFile) error {
	if err := d.check(); err != nil {
		return err
	}
	if err := out.Truncate(d.Bytes); err != nil {
		return fmt.Errorf("a sparse file of %d bytes: %w", d.Bytes, err)
	}
	for left := d.Extents; len(left) > 0; {
		n := min(len(left), rangesAtOnce)
		if err := copyRanges(ctx, api, query, left[:n], out); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

// copyRanges fetches some ranges by one request (RFC 9110, section 14).
func copyRanges(ctx context.Context, api *control, query string, ranges [][2]int64, out *exportFile) error {
	var list []string
	for _, r := range ranges {
		list = append(list, fmt.Sprintf("%d-%d", r[0], r[0]+r[1]-1))
	}
	header := http.Header{"Range": {"bytes=" + strings.Join(list, ",")}}
	body, err := api.openWith(ctx, http.MethodGet, "/disk"+query+"&format=raw", nil, header)
	if err != nil {
		return err
	}
	defer body.Close()
	if body.StatusCode == http.StatusOK && len(ranges) == 1 {
		return copySparse(out, body, 0, ranges[0][1]) // the whole disk
	}
	if body.StatusCode != http.StatusPartialContent {
		return fmt.Errorf("the session answers %s where ranges were asked for", body.Status)
	}
	if len(ranges) == 1 {
		return copySparse(out, body, ranges[0][0], ranges[0][1])
	}
	_, params, err := mime.ParseMediaType(body.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(body, params["boundary"])
	for _, r := range ranges {
		part, err := parts.NextPart()
		if err != nil {
			return unexpectedEnd(err)
		}
		want := fmt.Sprintf("bytes %d-%d/", r[0], r[0]+r[1]-1)
		if got := part.Header.Get("Content-Range"); !strings.HasPrefix(got, want) {
			return fmt.Errorf("the session sends %q, not %s…", got, want)
		}
		if err := copySparse(out, part, r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}

var zeros [4096]byte

// copySparse writes n bytes at off, leaving out blocks of zeros.
func copySparse(out *exportFile, r io.Reader, off, n int64) error {
	buf := make([]byte, 256<<10)
	for n > 0 {
		p := buf[:min(n, int64(len(buf)))]
		if _, err := io.ReadFull(r, p); err != nil {
			return unexpectedEnd(err)
		}
		out.progress.add(len(p))
		if err := writeSparse(out, p, off); err != nil {
			return err
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}

// writeSparse writes p in runs of blocks that are not zeros.
func writeSparse(out io.WriterAt, p []byte, off int64) error {
	isZero := func(at int) bool {
		b := p[at:min(at+len(zeros), len(p))]
		return bytes.Equal(b, zeros[:len(b)])
	}
	for at := 0; at < len(p); {
		if isZero(at) {
			at += len(zeros)
			continue
		}
		end := at + len(zeros)
		for end < len(p) && !isZero(end) {
			end += len(zeros)
		}
		end = min(end, len(p))
		if _, err := out.WriteAt(p[at:end], off+int64(at)); err != nil {
			return err
		}
		at = end
	}
	return nil
}

func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the session broke off: it was closed, or the backup cannot be read")
	}
	return err
}
