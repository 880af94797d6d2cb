package cow

import (
	"fmt"
	"io"
	"os"

	"github.com/snapview/snapview/block"
)

// A Source is a disk to export: a View, or an Overlay whose writes its caller
// has stopped.
type Source interface {
	block.Reader
	block.ExtentMapper
}

const copySize = 1 << 20

// ExportRaw writes a disk as a raw image into an empty file, leaving holes
// where it is zeros. dst is not synced.
func ExportRaw(dst *os.File, src Source) error {
	size := src.Size()
	if err := dst.Truncate(0); err != nil {
		return err
	}
	if err := dst.Truncate(size); err != nil {
		return fmt.Errorf("a raw image of %d bytes: %w", size, err)
	}
	buf := make([]byte, copySize)
	var failed error
	err := src.Extents(0, size, func(e block.Extent) bool {
		if e.State&block.ExtentZero == 0 {
			failed = copySparse(dst, src, e.Offset, e.Length, buf)
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// copySparse copies a range, leaving out blocks of zeros.
func copySparse(dst io.WriterAt, src io.ReaderAt, off, n int64, buf []byte) error {
	for n > 0 {
		// Up to a block boundary first, so that blocks are seen whole.
		k := min(n, int64(len(buf))-off%BlockSize)
		p := buf[:k]
		if m, err := src.ReadAt(p, off); m < len(p) {
			return err
		}
		for len(p) > 0 {
			run, zero := sameKind(p)
			if !zero {
				if _, err := dst.WriteAt(p[:run], off); err != nil {
					return err
				}
			}
			p, off = p[run:], off+int64(run)
		}
		n -= k
	}
	return nil
}
