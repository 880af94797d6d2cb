package session

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/snapview/snapview/ext4"
)

// An unreachable tree has files that cannot be read while gone is set: all of
// them, or "spoilt" alone.
type unreachable struct {
	fstest.MapFS
	gone atomic.Pointer[string]
}

type unreachableFile struct {
	fs.File
	tree *unreachable
	name string
}

func (u *unreachable) Open(name string) (fs.File, error) {
	f, err := u.MapFS.Open(name)
	if err != nil {
		return nil, err
	}
	if _, ok := f.(io.ReaderAt); !ok {
		return f, nil
	}
	return unreachableFile{f, u, name}, nil
}

func (f unreachableFile) ReadAt(p []byte, off int64) (int, error) {
	if gone := f.tree.gone.Load(); gone != nil && strings.HasPrefix(f.name, *gone) {
		return 0, errors.New("the store does not answer")
	}
	return f.File.(io.ReaderAt).ReadAt(p, off)
}

// A backup that cannot be read fails the requests of that while; that it began
// and that it is over is told once each, whatever else is read meanwhile.
func TestBaseThatCannotBeReadIsToldAndHeals(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	for what, gone := range map[string]string{"all of it": "", "one file": "spoilt"} {
		t.Run(what, func(t *testing.T) {
			tree := &unreachable{MapFS: fstest.MapFS{
				"sound":  {Data: content, Mode: 0o600},
				"spoilt": {Data: content, Mode: 0o600},
			}}
			image, err := ext4.New(tree, ext4.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var told []string
			notices := func() []string {
				mu.Lock()
				defer mu.Unlock()
				return append([]string(nil), told...)
			}
			base := newWatchedBase(image, func(message string) {
				mu.Lock()
				told = append(told, message)
				mu.Unlock()
			})
			base.pause = time.Millisecond
			where := make(map[string]int64)
			for off := int64(0); off < image.Size(); off += 4096 {
				if name, at, ok := image.PathAt(off); ok && at == 0 {
					where[name] = off
				}
			}
			p := make([]byte, len(content))
			read := func(name string) error {
				_, err := base.ReadAt(p, where[name])
				if err == nil && !bytes.Equal(p, content) {
					t.Errorf("%s: other bytes", name)
				}
				return err
			}

			tree.gone.Store(&gone)
			for range 20 {
				if err := read("spoilt"); err == nil {
					t.Fatal("what cannot be read was read")
				}
				if err := read("sound"); (err == nil) != (gone != "") {
					t.Fatalf("reading another file: %v", err)
				}
				time.Sleep(time.Millisecond) // for trials in vain
			}
			if n := notices(); len(n) != 1 || !strings.Contains(n[0], "cannot be read: ") || !strings.Contains(n[0], "does not answer") {
				t.Errorf("told while it is away: %q", n)
			}

			tree.gone.Store(nil)
			if err := errors.Join(read("spoilt"), read("sound")); err != nil {
				t.Errorf("once it is back: %v", err)
			}
			for end := time.Now().Add(30 * time.Second); len(notices()) < 2 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if n := notices(); len(n) != 2 || !strings.Contains(n[1], "can be read again") {
				t.Errorf("told in all: %q", n)
			}

			// Closing does not wait for it to come back.
			tree.gone.Store(&gone)
			if err := read("spoilt"); err == nil {
				t.Error("what cannot be read was read")
			}
			if err := base.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
