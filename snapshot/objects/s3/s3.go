// Package s3 reads objects from stores that speak Amazon's S3 protocol: AWS,
// MinIO, Ceph, Versity, Garage, Cloudflare R2 and the like.
//
// Credentials are found where the AWS tools find them (see credentials.go);
// they are never part of an address and in no message. An object's size and
// version come from a request for its first byte, which needs no more rights
// than reading it and, unlike HEAD, gets the reason when it fails. Every later
// request carries the version as a condition, and every answer is compared
// with what the first one said. Requests are never sent on to another host.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/objects/ranged"
)

// maxList bounds the names in one directory.
const maxList = 1 << 20

// A Store is a bucket, or what lies below a prefix in one.
type Store struct {
	at        Address
	client    *minio.Core
	transport *http.Transport
	counter   *snapshot.Counter
}

var _ objects.Store = (*Store)(nil)

// Open returns what lies below the address's key as a store. Nothing is asked
// of it yet. Bytes of objects that are read are added to counter.
func Open(at Address, counter *snapshot.Counter) (*Store, error) {
	endpoint, secure := "s3.amazonaws.com", true
	if at.Endpoint != "" {
		u, err := url.Parse(at.Endpoint)
		if err != nil {
			return nil, at.checkEndpoint()
		}
		endpoint, secure = u.Host, u.Scheme == "https"
	}
	lookup := minio.BucketLookupAuto
	if at.PathStyle {
		lookup = minio.BucketLookupPath
	} else if at.Endpoint != "" {
		lookup = minio.BucketLookupDNS
	}
	s := &Store{at: at, transport: ranged.Transport(), counter: counter}
	client, err := minio.NewCore(endpoint, &minio.Options{
		Creds: secrets(), Secure: secure, Region: at.Region, BucketLookup: lookup,
		Transport: s.transport, MaxRetries: 1, // the reader knows how long it can wait
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	s.client = client
	return s, nil
}

// String implements objects.Store.
func (s *Store) String() string { return s.at.String() }

// Identity tells the store from others whose buckets have the same name.
func (s *Store) Identity() string { return s.at.Endpoint + " " + s.at.String() }

// Close implements objects.Store.
func (s *Store) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

func (s *Store) key(name string) string { return path.Join(s.at.Key, name) }

// Open implements objects.Store.
func (s *Store) Open(ctx context.Context, name string) (objects.Object, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	o := &object{store: s, key: s.key(name)}
	body, info, header, err := s.get(ctx, o.key, 0, 1, "")
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		// Without a first byte: empty, if it is there at all.
		info, err = s.client.StatObject(ctx, s.at.Bucket, o.key, minio.StatObjectOptions{})
		if err == nil && info.Size != 0 {
			return nil, fmt.Errorf("%s: the store gives no first byte of an object of %d", o, info.Size)
		}
	} else if err == nil {
		if err := errors.Join(o.measure(info, header), body.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", o, err)
		}
	}
	if err != nil {
		return nil, o.error(ctx, err)
	}
	o.etag, o.changed = info.ETag, info.LastModified
	return o, nil
}

// Found is what objects.Found asks for: the object as a list had it.
func (s *Store) Found(_ context.Context, name string, e objects.Entry) (objects.Object, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if e.Size < 0 || e.Size > ranged.MaxSize {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "s3://%s/%s: a size of %d", s.at.Bucket, s.key(name), e.Size)
	}
	// Answers to requests tell the time in seconds.
	return &object{store: s, key: s.key(name), size: e.Size, etag: e.Tag, changed: e.Changed.Truncate(time.Second).UTC()}, nil
}

// measure takes the size from the answer to a request for the first byte.
func (o *object) measure(info minio.ObjectInfo, header http.Header) (err error) {
	if header.Get("Content-Range") != "" {
		o.size, err = ranged.Total(header, 0)
		return err
	}
	if info.Size == 0 {
		return nil // some stores answer so when the object is empty
	}
	return snapshot.Errorf(snapshot.ErrUnsupported, "the store does not give parts of objects (it ignores Range): nothing can be read on demand there")
}

// get asks for n bytes of a key, of the version that etag names if it does.
func (s *Store) get(ctx context.Context, key string, off, n int64, etag string) (io.ReadCloser, minio.ObjectInfo, http.Header, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(off, off+n-1); err != nil {
		return nil, minio.ObjectInfo{}, nil, err
	}
	if etag != "" {
		if err := opts.SetMatchETag(etag); err != nil {
			return nil, minio.ObjectInfo{}, nil, err
		}
	}
	return s.client.GetObject(ctx, s.at.Bucket, key, opts)
}

// List implements objects.Store: names up to the next slash, as the store
// groups them.
func (s *Store) List(ctx context.Context, dir string) ([]objects.Entry, error) {
	if !fs.ValidPath(dir) {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrInvalid}
	}
	prefix := s.key(dir)
	if prefix == "." {
		prefix = ""
	}
	where := Address{Bucket: s.at.Bucket, Key: prefix}
	if prefix != "" {
		prefix += "/"
	}
	ctx, cancel := context.WithCancel(ctx) // ends the listing when we leave early
	defer cancel()
	var list []objects.Entry
	found := false
	for e := range s.client.ListObjectsIter(ctx, s.at.Bucket, minio.ListObjectsOptions{Prefix: prefix}) {
		if e.Err != nil {
			return nil, fmt.Errorf("%s: %w", where, s.classify(ctx, e.Err))
		}
		found = true
		name, isDir := strings.CutSuffix(strings.TrimPrefix(e.Key, prefix), "/")
		if !fs.ValidPath(name) || name == "." || strings.Contains(name, "/") {
			continue // the prefix itself, or no name that a path can have
		}
		if len(list) == maxList {
			return nil, snapshot.Errorf(snapshot.ErrUnsafe, "%s: more than %d names", where, maxList)
		}
		entry := objects.Entry{Name: name, Dir: isDir}
		if !isDir {
			entry.Size, entry.Changed, entry.Tag = e.Size, e.LastModified, e.ETag
		}
		list = append(list, entry)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !found && prefix != "" {
		return nil, fmt.Errorf("%s: nothing in the bucket has this name or lies below it: %w", where, fs.ErrNotExist)
	}
	slices.SortFunc(list, func(a, b objects.Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// classify says what an error of the store means for the reader.
func (s *Store) classify(ctx context.Context, err error) error {
	var answer minio.ErrorResponse
	var secret secretError
	switch {
	case errors.As(err, &secret):
		return fmt.Errorf("%w: %w", err, fs.ErrPermission)
	case !errors.As(err, &answer):
		var about *url.Error
		if errors.As(err, &about) {
			err = about.Err
		}
		if err = ranged.Network(ctx, err); objects.IsPassing(err) {
			err = objects.Passing(fmt.Errorf("the store at %s does not answer: %w", s.client.EndpointURL().Host, err))
		}
		return err
	}
	said := fmt.Errorf("the store answers %s: %.200s", answer.Code, strings.TrimSpace(answer.Error()))
	const check = "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and ~/.aws/credentials"
	switch answer.Code {
	case minio.NoSuchKey:
		return fmt.Errorf("there is no such object: %w", fs.ErrNotExist)
	case minio.NoSuchBucket:
		return fmt.Errorf("there is no bucket %s at %s: %w", s.at.Bucket, s.client.EndpointURL().Host, fs.ErrNotExist)
	case minio.PreconditionFailed:
		return snapshot.Errorf(snapshot.ErrDamaged, "it was replaced since it was opened: open it again")
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "TemporaryRedirect":
		return fmt.Errorf("%w; name the region with ?region=... or AWS_REGION", said)
	case "RequestTimeTooSkewed":
		return fmt.Errorf("%w: %w; set this machine's clock", said, fs.ErrPermission)
	case "ExpiredToken", "InvalidToken", "TokenRefreshRequired":
		return fmt.Errorf("%w: %w; get new credentials (aws sso login, or AWS_SESSION_TOKEN)", said, fs.ErrPermission)
	case "InvalidObjectState":
		return snapshot.Errorf(snapshot.ErrUnsupported, "%w: it is archived (a storage class such as GLACIER): have it restored first (aws s3api restore-object)", said)
	case "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Busy":
		return objects.Passing(said)
	}
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%w: %w%s", said, fs.ErrPermission, check)
	case code == http.StatusNotFound:
		return fmt.Errorf("%w: %w", said, fs.ErrNotExist)
	case code >= 300 && code < 400:
		return fmt.Errorf("the store at %s wants to send the request on elsewhere (status %d), which is refused: name the right endpoint and region", s.client.EndpointURL().Host, code)
	case code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500:
		return objects.Passing(said)
	}
	return said
}

// An object is one object of the bucket.
type object struct {
	store   *Store
	key     string
	size    int64
	etag    string
	changed time.Time
}

var _ objects.Ranged = (*object)(nil)

func (o *object) String() string { return Address{Bucket: o.store.at.Bucket, Key: o.key}.String() }

func (o *object) error(ctx context.Context, err error) error {
	return fmt.Errorf("%s: %w", o, o.store.classify(ctx, err))
}

func (o *object) Size() int64           { return o.size }
func (o *object) Changed() time.Time    { return o.changed }
func (o *object) Prefetch(off, n int64) {}

func (o *object) ReadAt(p []byte, off int64) (int, error) { return ranged.ReadAt(o, p, off) }

// Tag implements objects.Ranged.
func (o *object) Tag() string {
	if o.etag == "" && o.changed.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s %d %d", o.etag, o.changed.UnixNano(), o.size)
}

// Range implements objects.Ranged.
func (o *object) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	body, info, header, err := o.store.get(ctx, o.key, off, n, o.etag)
	if err != nil {
		return nil, o.error(ctx, err)
	}
	switch {
	case info.ETag != o.etag || !info.LastModified.Equal(o.changed):
		err = snapshot.Errorf(snapshot.ErrDamaged, "it was replaced since it was opened: open it again")
	case header.Get("Content-Range") == "":
		err = snapshot.Errorf(snapshot.ErrUnsupported, "the store does not give parts of the object any more")
	default:
		err = ranged.Check(header, off, n, o.size)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o, err), body.Close())
	}
	return ranged.Body(ctx, body, o.String(), n, o.store.counter), nil
}
