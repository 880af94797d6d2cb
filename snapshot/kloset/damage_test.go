package kloset_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/kloset/format"
	"github.com/snapview/snapview/snapshot/kloset/klosettest"
	"github.com/snapview/snapview/snapshot/snapshottest"
)

// readable are the classes that an error of a damaged store may have.
var readable = []error{snapshot.ErrDamaged, snapshot.ErrNotABackup, snapshot.ErrUnsupported, snapshot.ErrUnsafe, snapshot.ErrPassphrase}

func classOf(err error) error {
	for _, class := range readable {
		if errors.Is(err, class) {
			return class
		}
	}
	return nil
}

// readAll reads a whole snapshot; wrong is set if any byte differs from want.
func readAll(s *snapshot.Snapshot, want map[string][]byte) (wrong string, err error) {
	for name, b := range want {
		got, rerr := fs.ReadFile(s.Tree, name)
		if rerr != nil {
			err = rerr
		} else if !bytes.Equal(got, b) {
			return name, nil
		}
	}
	return "", err
}

func contents(t testing.TB, ref string, opts snapshot.Options) map[string][]byte {
	t.Helper()
	s, err := kloset.Open(t.Context(), ref, opts)
	must(t, err)
	defer s.Close()
	want := map[string][]byte{}
	must(t, fs.WalkDir(s.Tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			want[name], err = fs.ReadFile(s.Tree, name)
		}
		return err
	}))
	return want
}

// Whatever bit of a .ptar is flipped and wherever it is cut: an error of a
// class, or the right bytes. Never others, and never a panic.
func TestDamaged(t *testing.T) {
	for name, o := range map[string]klosettest.Options{
		"plain":     {Chunk: 64 << 10},
		"none":      {Chunk: 64 << 10, Compression: "none"},
		"encrypted": {Chunk: 64 << 10, Passphrase: passphrase},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.ptar")
			// Without WAL, which would be most of it: it need not start.
			list := slices.DeleteFunc(cluster(""), func(f klosettest.File) bool { return strings.HasPrefix(f.Path, "/pg_wal") })
			_, err := klosettest.Ptar(file, o, klosettest.Snapshot{Time: monday, Files: list})
			must(t, err)
			opts := snapshot.Options{Passphrase: secret}
			want := contents(t, file, opts)
			whole, err := os.ReadFile(file)
			must(t, err)
			noticed := 0
			try := func(what string, at int, b []byte) {
				must(t, os.WriteFile(file, b, 0o600))
				s, err := kloset.Open(t.Context(), file, opts)
				if err == nil {
					var wrong string
					wrong, err = readAll(s, want)
					must(t, s.Close())
					if wrong != "" {
						t.Errorf("%s at %d of %d: %s has other bytes", what, at, len(whole), wrong)
					}
				}
				if err == nil {
					return // a part that is not read
				}
				if noticed++; classOf(err) == nil {
					t.Errorf("%s at %d of %d: %v belongs to no class", what, at, len(whole), err)
				}
			}
			rnd := rand.New(rand.NewPCG(1, uint64(len(name))))
			for range 100 {
				at := rnd.IntN(len(whole))
				flipped := bytes.Clone(whole)
				flipped[at] ^= 1 << rnd.IntN(8)
				try("a bit flipped", at, flipped)
			}
			if noticed < 80 {
				t.Errorf("only %d of 100 flipped bits were noticed", noticed)
			}
			noticed = 0
			for range 25 {
				at := rnd.IntN(len(whole))
				try("cut", at, whole[:at])
			}
			if noticed != 25 {
				t.Errorf("only %d of 25 cuts were noticed", noticed)
			}
		})
	}
}

// A chunk that is not whole in one packfile is read from another that has it;
// when the other place is forgotten, it is missing.
func TestDamaged_OtherCopy(t *testing.T) {
	w, dir := create(t, klosettest.Options{})
	version, gone := w.MAC([]byte("15\n")), format.MAC{7}
	w.Location(format.TypeChunk, version, gone, 0, 100)
	w.Pack(gone) // a packfile that is not there
	store(t, w, "", monday, cluster(""))
	must(t, open(t, dir, snapshot.Options{}).Close())
	packs, err := filepath.Glob(filepath.Join(dir, "packfiles", "*", "*"))
	must(t, err)
	for _, file := range packs {
		name, ok := format.ParseMAC(filepath.Base(file))
		if !ok {
			t.Fatal(file)
		}
		must(t, w.Forget(format.TypeChunk, version, name))
	}
	_, err = kloset.Open(t.Context(), dir, snapshot.Options{})
	if !errors.Is(err, snapshot.ErrDamaged) || !strings.Contains(err.Error(), "chunk "+version.Short()) || !strings.Contains(err.Error(), gone.Short()) {
		t.Errorf("err = %v", err)
	}
}

// A file that says it has other sizes than its chunks, and chunks that hold
// more than they say (a bomb).
func TestHostile(t *testing.T) {
	for name, lie := range map[string]func(f *klosettest.File){
		"larger":  func(f *klosettest.File) { f.Size *= 2 },
		"smaller": func(f *klosettest.File) { f.Size /= 2 },
		"huge":    func(f *klosettest.File) { f.Size = 1 << 50 },
	} {
		t.Run(name, func(t *testing.T) {
			w, dir := create(t, klosettest.Options{})
			list := cluster("")
			for i := range list {
				if list[i].Path == "/base/5/16384" {
					lie(&list[i])
				}
			}
			store(t, w, "", monday, list)
			s := open(t, dir, snapshot.Options{})
			defer s.Close()
			f, err := s.Tree.Open("data/base/5/16384")
			must(t, err)
			defer f.Close()
			if _, err := f.Read(make([]byte, 100)); !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("err = %v", err)
			}
		})
	}
	t.Run("bomb", func(t *testing.T) {
		w, dir := create(t, klosettest.Options{Chunk: 4 << 20})
		list := append(cluster(""), klosettest.Text("/base/5/16390", string(make([]byte, 8<<20))))
		for i := range list {
			list[i].Size = min(list[i].Size, 100) // as the shortened chunks say
		}
		w.ShortenChunks = 100
		store(t, w, "", monday, list)
		_, err := kloset.Open(t.Context(), dir, snapshot.Options{})
		if !errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("err = %v", err)
		}
	})
	for _, path := range []string{"/../etc/passwd", "/a/../../b", "relative", "/pg//x", "/pg/./x", "/pg/x\x00y"} {
		w, dir := create(t, klosettest.Options{})
		store(t, w, "", monday, append(cluster("/pg"), klosettest.Text(path, "x")))
		if s, err := kloset.Open(t.Context(), dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrUnsafe) {
			t.Errorf("%q: %v", path, err)
			if err == nil {
				must(t, s.Close())
			}
		}
	}
	t.Run("links out", func(t *testing.T) {
		w, dir := create(t, klosettest.Options{})
		store(t, w, "", monday, append(cluster("/pg"), klosettest.File{Path: "/pg/base/5/16999", Mode: fs.ModeSymlink, Link: "/etc/shadow"}))
		if _, err := kloset.Open(t.Context(), dir, snapshot.Options{}); !errors.Is(err, snapshot.ErrUnsafe) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("a device", func(t *testing.T) {
		w, dir := create(t, klosettest.Options{})
		store(t, w, "", monday, append(cluster("/pg"), klosettest.File{Path: "/pg/base/5/sda", Mode: fs.ModeDevice}))
		s := open(t, dir, snapshot.Options{})
		defer s.Close()
		if _, err := s.Tree.Lstat("data/base/5/sda"); err == nil {
			t.Errorf("the device is in the tree:\n%s", snapshottest.Report(s))
		}
	})
}
