package pages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how the cluster's files are built, from its pg_control.
type Options struct {
	BlockSize    int  // of a page, bytes; 0 means 8192
	RelSegBlocks int  // pages in a segment; 0 means 131072
	Checksums    bool // pages carry them

	// Workers is how many files are read at once; 0 for one on each core.
	Workers int

	// Progress, if not nil, is called with the bytes read since the call
	// before. It may be called by several goroutines at once.
	Progress func(bytes int64)
}

// A Problem is a page that the server would refuse, or a file that cannot be read.
type Problem struct {
	File  File
	Block uint32 // of the fork; meaningless if Whole
	Whole bool   // about the file, not one page
	What  string
}

// maxProblems bounds a Result; more are counted.
const maxProblems = 200

// A Result is what was read and found.
type Result struct {
	Files    int
	Pages    int64
	New      int64 // of Pages: never written
	Bytes    int64
	Problems []Problem
	More     int // problems than are listed
}

// Bad returns how many problems there are.
func (r *Result) Bad() int { return len(r.Problems) + r.More }

// Check reads the files, below root, and returns what is wrong with them. The
// error is an interruption.
func Check(ctx context.Context, root fs.FS, files []File, opts Options) (*Result, error) {
	if opts.BlockSize == 0 {
		opts.BlockSize = 8192
	}
	if opts.RelSegBlocks == 0 {
		opts.RelSegBlocks = 131072
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.BlockSize%(4*lanes) != 0 || opts.BlockSize > 32<<10 {
		return nil, fmt.Errorf("pages of %d bytes are none of PostgreSQL's", opts.BlockSize)
	}
	c := &checker{root: root, opts: opts}
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(opts.Workers, len(files)) {
		working.Go(func() {
			buf := make([]byte, pagesAtOnce*opts.BlockSize)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				c.file(ctx, files[i], buf)
			}
		})
	}
	working.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.result.Problems, func(a, b Problem) int {
		if d := strings.Compare(a.File.Path, b.File.Path); d != 0 {
			return d
		}
		return int(int64(a.Block) - int64(b.Block))
	})
	return &c.result, nil
}

// pagesAtOnce are read by one system call.
const pagesAtOnce = 64

// A page that looks wrong is read again, this often and with such a pause.
const (
	retries    = 3
	retryPause = 50 * time.Millisecond
)

type checker struct {
	root fs.FS
	opts Options

	mu     sync.Mutex // guards result
	result Result
}

func (c *checker) problem(p Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.result.Problems) >= maxProblems {
		c.result.More++
		return
	}
	c.result.Problems = append(c.result.Problems, p)
}

// file checks one file.
func (c *checker) file(ctx context.Context, f File, buf []byte) {
	opened, err := c.root.Open(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return // dropped since it was listed
	}
	if err != nil {
		c.problem(Problem{File: f, Whole: true, What: err.Error()})
		return
	}
	defer opened.Close()
	r, ok := opened.(io.ReaderAt)
	if !ok {
		c.problem(Problem{File: f, Whole: true, What: "it cannot be read at random"})
		return
	}
	var pages, fresh, off int64
	size := int64(c.opts.BlockSize)
	for ctx.Err() == nil {
		n, err := r.ReadAt(buf, off)
		if err != nil && !errors.Is(err, io.EOF) {
			// Find the page that cannot be read, and go on behind it.
			n, err = r.ReadAt(buf[:size], off)
			if err != nil && !errors.Is(err, io.EOF) {
				c.problem(Problem{File: f, Block: c.block(f, off), What: "cannot be read: " + err.Error()})
				off += size
				pages++
				if off >= f.Size {
					break
				}
				continue
			}
		}
		whole := int64(n) / size
		for i := range whole {
			at := off + i*size
			wrong, isNew := c.page(ctx, r, buf[i*size:(i+1)*size], f, at)
			if wrong != "" {
				c.problem(Problem{File: f, Block: c.block(f, at), What: wrong})
			}
			if isNew {
				fresh++
			}
		}
		pages += whole
		off += whole * size
		if c.opts.Progress != nil {
			c.opts.Progress(whole * size)
		}
		if rest := int64(n) % size; rest != 0 {
			c.problem(Problem{File: f, Whole: true, What: fmt.Sprintf("it ends %d bytes into page %d: it was cut short", rest, c.block(f, off))})
		}
		if errors.Is(err, io.EOF) || n == 0 || int64(n)%size != 0 {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.Files++
	c.result.Pages += pages
	c.result.New += fresh
	c.result.Bytes += off
}

func (c *checker) block(f File, off int64) uint32 {
	return f.Segment*uint32(c.opts.RelSegBlocks) + uint32(off/int64(c.opts.BlockSize))
}

// page judges one page, and reads it again before it condemns it.
func (c *checker) page(ctx context.Context, r io.ReaderAt, page []byte, f File, off int64) (wrong string, isNew bool) {
	block := c.block(f, off)
	for try := 0; ; try++ {
		wrong, isNew = verdict(page, block, c.opts.Checksums)
		if wrong == "" || try == retries || ctx.Err() != nil || c.suspects() > maxProblems {
			return wrong, isNew
		}
		time.Sleep(retryPause)
		if _, err := r.ReadAt(page, off); err != nil && !errors.Is(err, io.EOF) {
			return "cannot be read: " + err.Error(), false
		}
	}
}

// suspects is how many problems there are so far: where all is rotten there is
// no use in waiting for each page.
func (c *checker) suspects() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result.Bad()
}
