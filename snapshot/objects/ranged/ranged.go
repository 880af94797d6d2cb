// Package ranged is what readers of ranges over HTTP share: a transport made
// for many requests to one server, and checking that an answer is the range
// that was asked for. What a server says is not trusted: an answer that
// contradicts what it said before is an error, and no more is read of it than
// was asked for.
package ranged

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
)

// MaxSize is the size of an object that is still believed, bytes.
const MaxSize = math.MaxInt64 / 4

// Transport returns a transport for many requests at once to one server. It
// speaks HTTP/1.1 only: with several connections a lost packet holds up one
// request, not all. Waiting for an answer is bounded by the reader's patience,
// not here.
func Transport() *http.Transport {
	dial := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dial.DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// Total returns the size of the whole object from the answer to a range that
// began at off.
func Total(h http.Header, off int64) (int64, error) {
	first, _, total, err := contentRange(h)
	if err != nil {
		return 0, err
	}
	if first != off {
		return 0, fmt.Errorf("the server answers with bytes from %d on, asked for from %d", first, off)
	}
	return total, nil
}

// Check compares the answer to a request for n bytes at off, of an object of
// the given size, with what was asked.
func Check(h http.Header, off, n, size int64) error {
	first, last, total, err := contentRange(h)
	if err != nil {
		return err
	}
	if total != size {
		return snapshot.Errorf(snapshot.ErrDamaged, "it has %d bytes now and had %d when it was opened: it was replaced", total, size)
	}
	if first != off || last != off+n-1 {
		return fmt.Errorf("the server answers with bytes %d to %d, asked for %d to %d", first, last, off, off+n-1)
	}
	if v := h.Get("Content-Length"); v != "" && v != strconv.FormatInt(n, 10) {
		return fmt.Errorf("the server announces %.20s bytes, asked for %d", v, n)
	}
	return nil
}

// contentRange takes "bytes first-last/total" apart.
func contentRange(h http.Header) (first, last, total int64, err error) {
	v := h.Get("Content-Range")
	bad := fmt.Errorf("the server answers with the Content-Range %.60q", v)
	rest, ok := strings.CutPrefix(v, "bytes ")
	if !ok {
		return 0, 0, 0, bad
	}
	span, whole, ok1 := strings.Cut(rest, "/")
	from, to, ok2 := strings.Cut(span, "-")
	if !ok1 || !ok2 {
		return 0, 0, 0, bad
	}
	if first, err = strconv.ParseInt(from, 10, 64); err != nil {
		return 0, 0, 0, bad
	}
	if last, err = strconv.ParseInt(to, 10, 64); err != nil {
		return 0, 0, 0, bad
	}
	if total, err = strconv.ParseInt(whole, 10, 64); err != nil {
		return 0, 0, 0, bad
	}
	if first < 0 || last < first || total <= last || total > MaxSize {
		return 0, 0, 0, bad
	}
	return first, last, total, nil
}

// Network classes an error of making a request: all may pass but those of
// certificates and of what the caller gave up himself.
func Network(ctx context.Context, err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return err
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return fmt.Errorf("the server's certificate is not trusted: %w", err)
	case errors.As(err, &record):
		return fmt.Errorf("the server does not speak TLS there (https for http?): %w", err)
	}
	return objects.Passing(err)
}

// A body is the stream of a range: exactly n bytes, counted.
type body struct {
	rc      io.ReadCloser
	ctx     context.Context
	name    string
	left    int64
	counter *snapshot.Counter
}

// Body returns the stream of an answer's n bytes. Bytes read are added to
// counter. One that ends early gives a passing error that names the object.
func Body(ctx context.Context, rc io.ReadCloser, name string, n int64, counter *snapshot.Counter) io.ReadCloser {
	return &body{rc, ctx, name, n, counter}
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.rc.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.counter.Add(n)
	switch {
	case err == nil || b.left == 0:
		return n, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the answer ends %d bytes early", b.left)
	}
	if b.ctx.Err() != nil {
		return n, b.ctx.Err()
	}
	return n, objects.Passing(fmt.Errorf("%s: %w", b.name, err))
}

// Close gives the connection back; what is left of the answer is dropped.
func (b *body) Close() error { return b.rc.Close() }

// ReadAt makes io.ReaderAt of a Ranged object: one request, not repeated.
func ReadAt(o objects.Ranged, p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, errors.New("negative offset")
	case off >= o.Size():
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n := min(int64(len(p)), o.Size()-off)
	r, err := o.Range(context.Background(), off, n)
	if err != nil {
		return 0, err
	}
	k, err := io.ReadFull(r, p[:n])
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err == nil && k < len(p) {
		err = io.EOF
	}
	return k, err
}
