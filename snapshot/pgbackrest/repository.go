package pgbackrest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/objects"
	"github.com/snapview/snapview/snapshot/pgbackrest/cipher"
	"github.com/snapview/snapview/snapshot/pgbackrest/inifile"
)

// maxInfo bounds an info file or manifest; one of a million files has 250 MB.
const maxInfo = 4 << 30

// infoHead is how the plaintext of every info file and manifest begins.
const infoHead = "[backrest]"

// A repository reads info files and knows the passphrase. It is not for
// concurrent use.
type repository struct {
	store objects.Store
	ask   func(what string) ([]byte, error)
	pass  []byte // once it was asked for
}

// passphrase asks the user, once.
func (r *repository) passphrase() ([]byte, error) {
	if r.pass != nil {
		return r.pass, nil
	}
	if r.ask == nil {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "the pgBackRest repository %s is encrypted: give its passphrase (repo-cipher-pass)", r.store)
	}
	pass, err := r.ask(fmt.Sprintf("the pgBackRest repository %s", r.store))
	if err != nil {
		return nil, err
	}
	if len(pass) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrPassphrase, "the pgBackRest repository %s is encrypted, and the passphrase given is empty", r.store)
	}
	r.pass = pass
	return pass, nil
}

// A visitor is told of each value in an info file.
type visitor func(section, key string, value []byte) error

// read reads the info file at name, or its copy where that is missing or
// damaged; why then says what was wrong with the original. fresh makes the
// visitor of each attempt; key gives the key if the file is encrypted.
func (r *repository) read(ctx context.Context, name string, key func() ([]byte, error), fresh func() visitor) (why, err error) {
	if err = r.readOne(ctx, name, key, fresh()); err == nil {
		return nil, nil
	}
	if ctx.Err() != nil || errors.Is(err, snapshot.ErrPassphrase) || errors.Is(err, snapshot.ErrUnsupported) || errors.Is(err, snapshot.ErrUnsafe) {
		return nil, err
	}
	copyErr := r.readOne(ctx, name+copySuffix, key, fresh())
	switch {
	case copyErr == nil:
		return err, nil
	case errors.Is(copyErr, fs.ErrNotExist):
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, copyErr
	}
	return nil, fmt.Errorf("%w; nor can its copy be read: %w", err, copyErr)
}

func (r *repository) readOne(ctx context.Context, name string, key func() ([]byte, error), visit visitor) error {
	obj, err := r.store.Open(ctx, name)
	if err != nil {
		return err
	}
	if obj.Size() > maxInfo {
		return snapshot.Errorf(snapshot.ErrDamaged, "%s has %d bytes, more than any such file", name, obj.Size())
	}
	plain, err := r.decrypt(obj, name, key)
	if err != nil {
		return err
	}
	err = inifile.Parse(&cancelled{ctx, bufio.NewReaderSize(plain, 256<<10)}, visit)
	switch {
	case errors.Is(err, inifile.ErrFormat):
		return snapshot.Errorf(snapshot.ErrUnsupported, "%s: %w", name, err)
	case errors.Is(err, inifile.ErrDamaged):
		return snapshot.Errorf(snapshot.ErrDamaged, "%s: %w", name, err)
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// decrypt returns the plaintext of an info file, encrypted or not.
func (r *repository) decrypt(obj objects.Object, name string, key func() ([]byte, error)) (io.Reader, error) {
	head := make([]byte, min(obj.Size(), int64(len(infoHead))))
	if _, err := obj.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !cipher.Encrypted(head) {
		return io.NewSectionReader(obj, 0, obj.Size()), nil
	}
	pass, err := key()
	if err != nil {
		return nil, err
	}
	f, err := cipher.Open(obj, obj.Size(), pass)
	if f == nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s: %w", name, err)
	}
	// The beginning tells a wrong key from a damaged end.
	if _, e := f.ReadAt(head, 0); e != nil && !errors.Is(e, io.EOF) || !bytes.Equal(head, []byte(infoHead)) {
		if e == nil && bytes.Equal(pass, r.pass) {
			return nil, snapshot.Errorf(snapshot.ErrPassphrase, "%s: the passphrase is wrong", name)
		}
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s cannot be decrypted with the key that the repository holds for it: %w", name, errors.Join(e, err))
	}
	if err != nil {
		return nil, snapshot.Errorf(snapshot.ErrDamaged, "%s is cut short or damaged at its end", name)
	}
	return io.NewSectionReader(f, 0, f.Size()), nil
}

// cancelled ends a reading when the context does.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func (r *repository) exists(ctx context.Context, name string) (bool, error) {
	_, err := r.store.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// existsInfo tells whether an info file or its copy is there.
func (r *repository) existsInfo(ctx context.Context, name string) (bool, error) {
	ok, err := r.exists(ctx, name)
	if ok || err != nil {
		return ok, err
	}
	return r.exists(ctx, name+copySuffix)
}

// stanzas lists the clusters that have backups in the store.
func (r *repository) stanzas(ctx context.Context) ([]stanza, error) {
	if ok, err := r.existsInfo(ctx, InfoName); err != nil {
		return nil, err
	} else if ok {
		return []stanza{{backup: "."}}, nil
	}
	list, err := r.store.List(ctx, "backup")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no pgBackRest repository: no folder backup, no %s", r.store, InfoName)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("%s cannot be listed: name the backup, as in #stanza/label or #stanza/latest: %w", r.store, err)
	}
	if err != nil {
		return nil, err
	}
	var found []stanza
	for _, e := range list {
		if !e.Dir || !isStanza(e.Name) {
			continue
		}
		if ok, err := r.existsInfo(ctx, path.Join("backup", e.Name, InfoName)); err != nil {
			return nil, err
		} else if ok {
			found = append(found, stanzaAt(e.Name))
		}
	}
	if len(found) == 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: no stanza of pgBackRest has backups in it", r.store)
	}
	return found, nil
}
