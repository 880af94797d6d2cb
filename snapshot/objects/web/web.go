// Package web reads objects from HTTP and HTTPS servers by ranges (RFC 9110,
// section 14). Any server will do that honours Range: nginx, Apache, a CDN, an
// object store's signed address.
//
// A server cannot be asked what it has, so List is refused. An object's size
// and version come from the answer to a request for its first byte: HEAD is
// often forbidden where GET is allowed. Every later request carries the version
// as a condition, and every answer is compared with what the first one said, so
// that an object which is replaced under way is an error and never a mixture.
//
// A user name and password in an address are sent as basic authentication, to
// that host only. They and the query, where signed addresses keep their
// secrets, are in no message.
package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/ranged"
)

// maxRedirects is how often a request is sent on.
const maxRedirects = 5

// A Store is a folder of a web server.
type Store struct {
	base    url.URL // its path ends with a slash
	user    *url.Userinfo
	client  *http.Client
	counter *snapshot.Counter
}

var _ objects.Store = (*Store)(nil)

// Open returns the folder at an address as a store; the query of the address
// is sent with every request. Nothing is asked of the server yet. Bytes read
// are added to counter.
func Open(address string, counter *snapshot.Counter) (*Store, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%s is no address of a web server", Redact(address))
	}
	s := &Store{base: *u, user: u.User, counter: counter}
	s.base.User, s.base.Fragment = nil, ""
	if !strings.HasSuffix(s.base.Path, "/") {
		s.base = *s.base.JoinPath("/")
	}
	s.client = &http.Client{Transport: ranged.Transport(), CheckRedirect: s.redirect}
	return s, nil
}

// Split takes an address apart into that of the host, with user, password and
// query, and a name there; folder is true if the address ends with a slash.
func Split(address string) (host, name string, folder bool, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", "", false, fmt.Errorf("%s is no address", Redact(address))
	}
	name = path.Clean("/" + u.Path)[1:]
	folder = strings.HasSuffix(u.Path, "/") || name == ""
	if name == "" {
		name = "."
	}
	u.Path, u.RawPath, u.Fragment = "/", "", ""
	return u.String(), name, folder, nil
}

// Redact returns an address as it may be shown: without user, password and
// query.
func Redact(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "an address that cannot be read"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.RawQuery != "" {
		return shown.String() + "?..."
	}
	return shown.String()
}

// redirect decides whether a request is sent on.
func (s *Store) redirect(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%s sends requests on more than %d times", from.Host, maxRedirects)
	case req.URL.Scheme != "https" && (req.URL.Scheme != "http" || from.Scheme == "https"):
		return fmt.Errorf("%s sends requests on to %s://%s, which is refused: the way there would not be encrypted", from.Host, req.URL.Scheme, req.URL.Host)
	case s.user != nil && req.URL.Host != from.Host:
		return fmt.Errorf("%s sends requests on to %s, which is refused: the address has a password for %s", from.Host, req.URL.Host, from.Host)
	}
	return nil
}

// String implements objects.Store.
func (s *Store) String() string { return Redact(strings.TrimSuffix(s.base.String(), "/")) }

// List implements objects.Store.
func (s *Store) List(context.Context, string) ([]objects.Entry, error) {
	return nil, fmt.Errorf("%s: a web server has no list of its files that a program could read: %w", s, errors.ErrUnsupported)
}

// Close implements objects.Store.
func (s *Store) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// address returns that of a name.
func (s *Store) address(name string) *url.URL {
	elems := strings.Split(name, "/")
	for i := range elems {
		elems[i] = url.PathEscape(elems[i])
	}
	return s.base.JoinPath(elems...)
}

// get asks for n bytes of a name.
func (s *Store) get(ctx context.Context, name string, off, n int64, header http.Header) (*http.Response, error) {
	u := s.address(name)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if s.user != nil {
		password, _ := s.user.Password()
		req.SetBasicAuth(s.user.Username(), password)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	resp, err := s.client.Do(req)
	if err == nil {
		return resp, nil
	}
	var about *url.Error
	if errors.As(err, &about) {
		err = about.Err // it prints the address, query and all
	}
	if resp != nil {
		return nil, err // redirect refused, and the body is closed already
	}
	return nil, ranged.Network(ctx, err)
}

// Open implements objects.Store. A server that does not honour ranges is of
// class snapshot.ErrUnsupported.
func (s *Store) Open(ctx context.Context, name string) (objects.Object, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	o := &object{store: s, name: name}
	resp, err := s.get(ctx, name, 0, 1, nil)
	if err != nil {
		return nil, o.error(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 300 && strings.HasSuffix(resp.Request.URL.Path, "/") {
		return nil, o.error(fmt.Errorf("this is a folder: %w", fs.ErrNotExist)) // the request was sent on
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		o.size, err = ranged.Total(resp.Header, 0)
	case http.StatusRequestedRangeNotSatisfiable:
		if resp.Header.Get("Content-Range") != "bytes */0" {
			err = s.status(resp)
		}
	case http.StatusOK:
		if resp.ContentLength != 0 {
			err = snapshot.Errorf(snapshot.ErrUnsupported, "the server does not give parts of files (it ignores Range): nothing can be read on demand there; copy the backup here, or put it behind a server that does, such as nginx or an object store")
		}
	default:
		err = s.status(resp)
	}
	if err != nil {
		return nil, o.error(err)
	}
	o.etag, o.modified = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	o.changed, _ = http.ParseTime(o.modified)
	return o, nil
}

// status classes an answer that gives no data.
func (s *Store) status(resp *http.Response) error {
	err := fmt.Errorf("the server answers %.80s", resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		return fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: check the user and password in the address, or whether a signed address has expired: %w", err, fs.ErrPermission)
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return objects.Passing(err)
	}
	return err
}

// An object is one file.
type object struct {
	store    *Store
	name     string
	size     int64
	etag     string
	modified string
	changed  time.Time
}

var _ objects.Ranged = (*object)(nil)

func (o *object) String() string {
	return Redact(o.store.address(o.name).String())
}

func (o *object) error(err error) error { return fmt.Errorf("%s: %w", o, err) }

func (o *object) Size() int64           { return o.size }
func (o *object) Changed() time.Time    { return o.changed }
func (o *object) Prefetch(off, n int64) {}

func (o *object) ReadAt(p []byte, off int64) (int, error) { return ranged.ReadAt(o, p, off) }

// Tag implements objects.Ranged.
func (o *object) Tag() string {
	if o.etag == "" && o.modified == "" {
		return ""
	}
	return fmt.Sprintf("%s %s %d", o.etag, o.modified, o.size)
}

// Range implements objects.Ranged.
func (o *object) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	h := http.Header{}
	switch {
	case o.etag != "" && !strings.HasPrefix(o.etag, "W/"):
		h.Set("If-Range", o.etag)
	case o.modified != "":
		h.Set("If-Unmodified-Since", o.modified)
	}
	resp, err := o.store.get(ctx, o.name, off, n, h)
	if err != nil {
		return nil, o.error(err)
	}
	err = o.same(resp)
	if err == nil && resp.StatusCode != http.StatusPartialContent {
		err = o.store.status(resp)
	}
	if err == nil {
		err = ranged.Check(resp.Header, off, n, o.size)
	}
	if err != nil {
		return nil, errors.Join(o.error(err), resp.Body.Close())
	}
	return ranged.Body(ctx, resp.Body, o.String(), n, o.store.counter), nil
}

// same compares the version that an answer is of with the one that was opened.
func (o *object) same(resp *http.Response) error {
	data := resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent
	etag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if resp.StatusCode == http.StatusPreconditionFailed || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable ||
		data && (etag != o.etag || modified != o.modified) {
		return snapshot.Errorf(snapshot.ErrDamaged, "it was replaced since it was opened: open it again")
	}
	if resp.StatusCode == http.StatusOK {
		return snapshot.Errorf(snapshot.ErrUnsupported, "the server does not give parts of the file any more")
	}
	return nil
}
