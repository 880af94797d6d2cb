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

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset/format"
)

// A Codec decodes the blobs of one store. It may be used concurrently.
type Codec struct {
	cipher      *cipher // nil: plain text
	compression string
	open        func(io.Reader) (io.ReadCloser, error)
}

// New returns the codec of a store; key is nil for one in plain text.
func New(c *format.Config, key []byte) (*Codec, error) {
	d := &Codec{compression: c.Compression}
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

func openZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// errLong is a blob that holds more than it should.
var errLong = errors.New("it holds more than it may")

// Chunk decodes a blob that holds size bytes, no more and no less. Tags of
// encrypted frames and checksums of compressed ones are not looked at: the
// caller must compare the MAC of what it gets, which has the same key.
func (d *Codec) Chunk(blob []byte, size int) ([]byte, error) {
	b, err := d.unchecked(make([]byte, 0, size), blob, int64(size))
	if err == nil && len(b) < size {
		err = io.ErrUnexpectedEOF
	}
	return b, wrap(err)
}

// Blob decodes a blob that holds at most limit bytes. As with Chunk, the caller
// must compare the MAC. What is returned may be part of blob.
func (d *Codec) Blob(blob []byte, limit int64) ([]byte, error) {
	b, err := d.unchecked(nil, blob, limit)
	return b, wrap(err)
}

// unchecked decodes a blob into dst, which is empty and has room for limit
// bytes or is nil.
func (d *Codec) unchecked(dst, blob []byte, limit int64) (b []byte, err error) {
	if d.cipher != nil {
		if blob, err = d.cipher.untagged(blob); err != nil {
			return nil, err
		}
	}
	switch d.compression {
	case "":
		if int64(len(blob)) > limit {
			return nil, errLong
		}
		return blob, nil
	case "LZ4":
		if b, err = lz4Blocks(dst, blob, limit); !errors.Is(err, errOtherFrame) {
			return b, err
		}
	}
	r, err := d.open(bytes.NewReader(blob))
	if err != nil {
		return nil, err
	}
	return readAll(dst, r, limit)
}

// readAll reads r to its end, at most limit bytes, and closes it.
func readAll(dst []byte, r io.ReadCloser, limit int64) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	n, err := io.Copy(b, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = errLong
	}
	return b.Bytes(), errors.Join(err, r.Close())
}

// All decodes a blob that holds at most limit bytes and checks its tags and
// checksums.
func (d *Codec) All(blob []byte, limit int64) ([]byte, error) {
	r, err := d.Stream(blob)
	if err != nil {
		return nil, err
	}
	b, err := readAll(nil, r, limit)
	return b, wrap(err)
}

// Stream decodes a blob of any size as it is read, as All does; Close must
// follow.
func (d *Codec) Stream(blob []byte) (io.ReadCloser, error) {
	var in io.Reader = bytes.NewReader(blob)
	if d.cipher != nil {
		var err error
		if in, err = d.cipher.open(blob); err != nil {
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
