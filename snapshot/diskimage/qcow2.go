package diskimage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/zstd"
	"github.com/lima-vm/go-qcow2reader/image"
	"github.com/lima-vm/go-qcow2reader/image/qcow2"
	"github.com/lima-vm/go-qcow2reader/log"

	"github.com/snapview/snapview/snapshot"
)

const qcow2Magic = "QFI\xfb"

func isQcow2(head []byte) bool { return len(head) >= 4 && string(head[:4]) == qcow2Magic }

// Bounds on qcow2 images, as QEMU has them: its header's own documentation
// (docs/interop/qcow2.txt) and block/qcow2.h.
const (
	minClusterBits = 9
	maxClusterBits = 21
	maxL1Bytes     = 32 << 20
	maxBackings    = 32
)

// The reader prints warnings: what is wrong becomes an error all the same. And
// it leaves zstd to its users. A cluster has at most 2 MiB.
func init() {
	log.SetWarnFunc(nil)
	qcow2.SetDecompressor(qcow2.CompressionTypeZstd, func(r io.Reader) (io.ReadCloser, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(8<<20))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	})
}

// checkQcow2 refuses headers that would make the reader allocate absurdly.
func checkQcow2(r io.ReaderAt, name string) error {
	be := binary.BigEndian
	h := make([]byte, 72)
	if n, _ := r.ReadAt(h, 0); n < len(h) || !isQcow2(h) {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: no qcow2 header", name)
	}
	clusterBits, size, l1 := be.Uint32(h[20:]), be.Uint64(h[24:]), be.Uint32(h[36:])
	switch {
	case be.Uint32(h[4:]) != 2 && be.Uint32(h[4:]) != 3:
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s: qcow2 of version %d", name, be.Uint32(h[4:]))
	case clusterBits < minClusterBits || clusterBits > maxClusterBits || uint64(l1)*8 > maxL1Bytes || size > 1<<60:
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: clusters of 2^%d bytes, a table of %d entries, %d bytes in all", name, clusterBits, l1, size)
	case be.Uint32(h[32:]) != 0:
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s: an encrypted qcow2 image: convert it with qemu-img convert", name)
	}
	return nil
}

// openQcow2 opens an image with all that it is backed by. Backing files are
// named by the image, as QEMU has it; those that are no regular files are
// refused. names lists them.
func openQcow2(f *os.File, counter *snapshot.Counter) (img image.Image, names []string, err error) {
	if err := checkQcow2(f, f.Name()); err != nil {
		return nil, nil, err
	}
	var open image.OpenWithType
	open = func(r io.ReaderAt, kind image.Type) (image.Image, error) {
		backing, ok := r.(*os.File)
		if !ok {
			return broken{io.NopCloser(nil)}, errors.New("not a file")
		}
		names = append(names, backing.Name())
		fail := func(err error) (image.Image, error) {
			// The reader closes what it is given, with an error too.
			return broken{backing}, err
		}
		info, err := backing.Stat()
		switch {
		case err != nil:
			return fail(err)
		case !info.Mode().IsRegular():
			return fail(snapshot.Errorf(snapshot.ErrUnsafe, "%s: a backing file that is no regular file", backing.Name()))
		case len(names) > maxBackings:
			return fail(snapshot.Errorf(snapshot.ErrDamaged, "more than %d backing files, or a circle of them", maxBackings))
		}
		head := make([]byte, 4)
		if n, _ := backing.ReadAt(head, 0); kind == "" && n == 4 && isQcow2(head) {
			kind = qcow2.Type
		}
		if kind != qcow2.Type {
			return rawImage{backing, counter.Reader(backing), info.Size()}, nil
		}
		if err := checkQcow2(backing, backing.Name()); err != nil {
			return fail(err)
		}
		return opened(qcow2.Open(counted{backing, counter}, open))(fail)
	}
	img, err = qcow2.Open(counted{f, counter}, open)
	if err == nil {
		err = img.Readable()
	}
	if err != nil {
		return nil, names, classed(err)
	}
	return readImage{img, f.Name()}, names, nil
}

// readImage names the image in errors of reading it, and gives those of what it
// holds a class; the host's stay what they are.
type readImage struct {
	image.Image
	name string
}

func (r readImage) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.Image.ReadAt(p, off)
	var host syscall.Errno
	switch {
	case err == nil && n == len(p), err == io.EOF && off+int64(n) >= r.Size(), errors.Is(err, os.ErrClosed):
		return n, err
	case err == nil, errors.Is(err, io.EOF): // the end of a compressed cluster, not of the image
		err = io.ErrUnexpectedEOF
	case errors.As(err, &host):
		return n, fmt.Errorf("%s: %w", r.name, err)
	}
	return n, snapshot.Errorf(snapshot.ErrDamaged, "%s: what it holds at %d cannot be read: %w", r.name, off, classed(err))
}

// opened turns the reader's two ways of failing into one.
func opened(img *qcow2.Qcow2, err error) func(func(error) (image.Image, error)) (image.Image, error) {
	return func(fail func(error) (image.Image, error)) (image.Image, error) {
		if err == nil {
			err = img.Readable()
		}
		if err != nil {
			return fail(err)
		}
		return img, nil
	}
}

// classed gives an error of the reader's a class.
func classed(err error) error {
	for _, class := range []error{snapshot.ErrUnsafe, snapshot.ErrDamaged, snapshot.ErrUnsupported} {
		if errors.Is(err, class) {
			return err
		}
	}
	for _, e := range []error{qcow2.ErrUnsupportedBackingFile, qcow2.ErrUnsupportedCompression, qcow2.ErrUnsupportedEncryption, qcow2.ErrUnsupportedFeature} {
		if errors.Is(err, e) {
			return snapshot.Errorf(snapshot.ErrUnsupported, "%w", err)
		}
	}
	return snapshot.Errorf(snapshot.ErrDamaged, "%w", err)
}

// counted is a file whose reads are counted; its name finds backing files.
type counted struct {
	*os.File
	counter *snapshot.Counter
}

func (c counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	c.counter.Add(n)
	return n, err
}

// rawImage is a raw backing file.
type rawImage struct {
	io.Closer
	io.ReaderAt
	size int64
}

func (rawImage) Type() image.Type { return "raw" }
func (r rawImage) Size() int64    { return r.size }
func (rawImage) Readable() error  { return nil }

func (r rawImage) Extent(start, length int64) (image.Extent, error) {
	return image.Extent{Start: start, Length: length, Allocated: true}, nil
}

// broken is what the reader is given of a backing file that cannot be opened.
type broken struct{ io.Closer }

func (broken) ReadAt([]byte, int64) (int, error)         { return 0, os.ErrInvalid }
func (broken) Type() image.Type                          { return "broken" }
func (broken) Size() int64                               { return 0 }
func (broken) Readable() error                           { return os.ErrInvalid }
func (broken) Extent(int64, int64) (image.Extent, error) { return image.Extent{}, os.ErrInvalid }
