package web

import (
	"bufio"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packings are the compressions of a whole file.
var packings = map[string]struct{ mediaType, ext string }{
	"gzip": {"application/gzip", ".gz"},
	"zstd": {"application/zstd", ".zst"},
}

// A packer writes a file, compressed if that was asked for, in pieces that are
// worth sending. Its memory is bounded.
type packer struct {
	*bufio.Writer // what the rows are written to
	pack          interface {
		io.WriteCloser
		Flush() error
	} // nil: not compressed
	sent *bufio.Writer
}

func newPacker(w io.Writer, compression string) (*packer, error) {
	p := &packer{}
	switch compression {
	case "gzip":
		p.sent = bufio.NewWriterSize(w, batchBytes)
		p.pack = gzip.NewWriter(p.sent)
	case "zstd":
		p.sent = bufio.NewWriterSize(w, batchBytes)
		// One at a time and with a window of 1 MiB: some 10 MiB of memory.
		z, err := zstd.NewWriter(p.sent, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return nil, err
		}
		p.pack = z
	default:
		p.Writer = bufio.NewWriterSize(w, batchBytes)
		return p, nil
	}
	p.Writer = bufio.NewWriterSize(p.pack, batchBytes)
	return p, nil
}

// close sends what is left. A file that is not whole gets no end of its
// compression either, so that no tool takes it for whole.
func (p *packer) close(whole bool) error {
	err := p.Flush()
	if p.pack == nil || err != nil {
		return err
	}
	if whole {
		err = p.pack.Close()
	} else {
		err = p.pack.Flush()
	}
	if err != nil {
		return err
	}
	return p.sent.Flush()
}
