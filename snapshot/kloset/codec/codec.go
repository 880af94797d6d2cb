// Package codec turns blobs of a Kloset store into what they hold: each blob
// is compressed and then, in an encrypted store, encrypted, on its own.
//
// Nothing is decoded beyond a size that the caller knows or bounds, so that a
// blob cannot make the reader use more memory than it was promised.
package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

// A Codec decodes the blobs of one store. It may be used concurrently.
type Codec struct {
	cipher *cipher // nil: plain text
	open   func(io.Reader) (io.ReadCloser, error)
}

// New returns the codec of a store; key is nil for one in plain text.
func New(c *format.Config, key []byte) (*Codec, error) {
	d := &Codec{}
	switch c.Compression {
	case "":
		d.open = func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil }
	case "LZ4":
		d.open = openLZ4
	case "GZIP":
		d.open = func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }
	case "ZSTD":
		d.open = openZstd
	default:
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "compression %.40q is none that this build knows", c.Compression)
	}
	if c.Encryption == nil {
		return d, nil
	}
	var err error
	d.cipher, err = newCipher(c.Encryption, key)
	return d, err
}

// lz4Readers have buffers of several MiB, too much to make for every blob.
var lz4Readers = sync.Pool{New: func() any { return lz4.NewReader(nil) }}

type lz4Reader struct{ *lz4.Reader }

func (r lz4Reader) Close() error {
	r.Reset(nil)
	lz4Readers.Put(r.Reader)
	return nil
}

func openLZ4(r io.Reader) (io.ReadCloser, error) {
	z := lz4Readers.Get().(*lz4.Reader)
	z.Reset(r)
	return lz4Reader{z}, nil
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// errLong is a blob that holds more than it should.
var errLong = errors.New("it holds more than it may")

// Chunk decodes a blob that holds size bytes, no more and no less. The tags of
// encrypted frames are not checked: the caller must compare the MAC of what it
// gets, which has the same key.
func (d *Codec) Chunk(blob []byte, size int) ([]byte, error) {
	r, err := d.reader(blob, false)
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err = io.ReadFull(r, b)
	if err == nil {
		var more [1]byte
		switch n, merr := io.ReadFull(r, more[:]); {
		case n > 0:
			err = errLong
		case !errors.Is(merr, io.EOF):
			err = merr // a checksum at the end
		}
	}
	return b, wrap(errors.Join(err, r.Close()))
}

// All decodes a blob that holds at most limit bytes.
func (d *Codec) All(blob []byte, limit int64) ([]byte, error) {
	r, err := d.reader(blob, true)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = errLong
	}
	return b, wrap(errors.Join(err, r.Close()))
}

// Stream decodes a blob of any size as it is read; Close must follow.
func (d *Codec) Stream(blob []byte) (io.ReadCloser, error) { return d.reader(blob, true) }

func (d *Codec) reader(blob []byte, tags bool) (io.ReadCloser, error) {
	var in io.Reader = bytes.NewReader(blob)
	if d.cipher != nil {
		var err error
		if in, err = d.cipher.open(blob, tags); err != nil {
			return nil, wrap(err)
		}
	}
	r, err := d.open(in)
	return r, wrap(err)
}

// wrap gives errors of decoding their class: the bytes come from the store.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it ends too early: %w", io.ErrUnexpectedEOF)
	}
	return snapshot.Errorf(snapshot.ErrDamaged, "%w", err)
}
