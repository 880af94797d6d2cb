package chunks

import (
	"io"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/vfs"
)

const (
	window    = 2        // chunks decoded ahead of a reader
	maxAhead  = 16 << 20 // bytes decoded for one hint
	followers = 2        // reads behind each other that make a reader sequential
)

// A File is a file's bytes: a snapshot.Content. Its list of chunks is read when
// the file is read first.
type File struct {
	cache *Cache
	list  func() ([]vfs.Chunk, error)

	mu   sync.Mutex // guards refs while they are read
	refs atomic.Pointer[[]ref]

	next atomic.Int64 // where the last read ended
	run  atomic.Int32 // reads that followed each other
	seen atomic.Int64 // the chunk that was decoded ahead of last, plus 1
}

// ref is a chunk and where in the file it ends.
type ref struct {
	mac format.MAC
	end int64
}

// NewFile returns the file with the chunks that list gives. After an error list
// is called again at the next read.
func NewFile(cache *Cache, list func() ([]vfs.Chunk, error)) *File {
	return &File{cache: cache, list: list}
}

func (f *File) chunks() ([]ref, error) {
	if refs := f.refs.Load(); refs != nil {
		return *refs, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if refs := f.refs.Load(); refs != nil {
		return *refs, nil
	}
	list, err := f.list()
	if err != nil {
		return nil, err
	}
	refs, end := make([]ref, len(list)), int64(0)
	for i, c := range list {
		end += c.Length
		refs[i] = ref{c.MAC, end}
	}
	f.refs.Store(&refs)
	return refs, nil
}

func start(refs []ref, i int) int64 {
	if i == 0 {
		return 0
	}
	return refs[i-1].end
}

// at returns the index of the chunk that holds the byte at off.
func at(refs []ref, off int64) int {
	return sort.Search(len(refs), func(i int) bool { return refs[i].end > off })
}

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	refs, err := f.chunks()
	if err != nil {
		return 0, err
	}
	i := at(refs, off)
	f.follow(refs, i, off, len(p))
	done := 0
	for ; done < len(p); i++ {
		if i >= len(refs) {
			return done, io.EOF
		}
		from := start(refs, i)
		b, err := f.cache.Get(refs[i].mac, refs[i].end-from)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], b[off+int64(done)-from:])
	}
	return done, nil
}

// follow decodes ahead of reads that follow each other. Concurrent readers of
// one file may hide each other's order: then nothing is decoded in vain.
func (f *File) follow(refs []ref, i int, off int64, n int) {
	if f.next.Swap(off+int64(n)) != off {
		f.run.Store(0)
		return
	}
	if f.run.Add(1) < followers || f.seen.Swap(int64(i)+1) == int64(i)+1 {
		return
	}
	for k := i + 1; k <= i+window && k < len(refs); k++ {
		f.cache.Ahead(refs[k].mac, refs[k].end-start(refs, k))
	}
}

// Prefetch decodes what a range needs in the background, as far as it is not
// too much.
func (f *File) Prefetch(off, n int64) {
	loaded := f.refs.Load()
	if loaded == nil || n <= 0 {
		return // its list of chunks would have to be read first
	}
	refs := *loaded
	for i, budget := at(refs, off), int64(maxAhead); i < len(refs) && start(refs, i) < off+n && budget > 0; i++ {
		size := refs[i].end - start(refs, i)
		f.cache.Ahead(refs[i].mac, size)
		budget -= size
	}
}
