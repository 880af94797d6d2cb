package ext4fs

import (
	"io/fs"
	"testing"
)

type readLinkFS interface {
	fs.FS
	ReadLink(name string) (string, error)
}

// content is what walk returns of an image, of a directory.
func content(t *testing.T, root readLinkFS) map[string]string {
	t.Helper()
	want := map[string]string{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
			return err
		case d.Type() == fs.ModeSymlink:
			target, err := root.ReadLink(name)
			want[name] = "-> " + target
			return err
		}
		b, err := fs.ReadFile(root, name)
		want[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return want
}
