// Package sources opens a snapshot by its reference: it looks at what lies
// there, by content and never by name alone, and hands it to the source that
// knows the kind. What is recognised but cannot be opened gets an error that
// says what it is.
package sources

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/barman"
	"github.com/snapview/snapview/snapshot/compressed"
	"github.com/snapview/snapview/snapshot/directory"
	"github.com/snapview/snapview/snapshot/diskimage"
	"github.com/snapview/snapview/snapshot/kloset"
	"github.com/snapview/snapview/snapshot/tarball"
	"github.com/snapview/snapview/snapshot/tarfolder"
)

// Open opens the backup at ref, a path on this host or an address,
// s3://bucket/key or https://host/path. A snapshot of a store that
// holds several is named after the path, as in "/repo#20261120-010203F" or
// "/repo#latest".
//
// The error belongs to one of the classes of package snapshot, or is the
// host's (fs.ErrNotExist, fs.ErrPermission). A snapshot that preflight refuses
// is returned without an error: ask Snapshot.Err before using it.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if more := opts.Chain; len(more) > 0 {
		opts.Chain = nil
		return openList(ctx, append([]string{ref}, more...), opts)
	}
	if isAddress(ref) {
		return openRemote(ctx, ref, opts)
	}
	ref, selected := SplitRef(ref)
	if selected != "" {
		opts.Select = selected
	}
	info, err := os.Stat(ref)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openDir(ctx, ref, opts)
	}
	if info.Mode().Type() == fs.ModeDevice { // a block device, such as an LVM snapshot
		return diskimage.Open(ctx, ref, opts)
	}
	if !info.Mode().IsRegular() {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is neither a file nor a directory", ref)
	}
	s, err := openFile(ctx, ref, opts)
	if err == nil && s.Identity.IncrementalFromLSN != 0 {
		return openChain(ctx, s, opts)
	}
	return s, err
}

// SplitRef takes a reference apart into the place and the name of a snapshot in
// it, which is empty where none is given. A path that exists as it is written
// is a place, whatever signs it has.
func SplitRef(ref string) (place, selected string) {
	if _, err := os.Lstat(ref); err == nil {
		return ref, ""
	}
	if i := strings.LastIndexByte(ref, '#'); i > 0 {
		return ref[:i], ref[i+1:]
	}
	return ref, ""
}

// openPlain opens a folder that is a backup by itself, nil if it is none.
func openPlain(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	has := func(name string) bool {
		_, err := os.Lstat(filepath.Join(ref, name))
		return err == nil
	}
	switch {
	case has("PG_VERSION"), opts.Root != "":
		return directory.Open(ctx, ref, opts)
	case allPlain(ref):
		return tarfolder.Open(ctx, ref, opts)
	case hasTars(ref):
		return compressed.Open(ctx, ref, opts)
	}
	return nil, nil
}

// tars returns the names of the tars of pg_basebackup -Ft in a folder that has
// a base.tar, compressed or not.
func tars(dir string) (names []string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil // opening it will say why
	}
	base := false
	for _, e := range list {
		if role, ok := compressed.TarName(e.Name()); ok {
			base = base || role == "base"
			names = append(names, e.Name())
		}
	}
	if !base {
		return nil
	}
	return names
}

func hasTars(dir string) bool { return len(tars(dir)) > 0 }

// allPlain: what is in the files counts, not how they are called.
func allPlain(dir string) bool {
	names := tars(dir)
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return false
		}
		head := make([]byte, 16)
		n, err := io.ReadFull(f, head)
		if cerr := f.Close(); cerr != nil || err != nil && n == 0 && !errors.Is(err, io.EOF) ||
			compressed.Codec(head[:n]) != "" || !strings.HasSuffix(name, ".tar") {
			return false
		}
	}
	return len(names) > 0
}

func openDir(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	if isKloset(ref) {
		return kloset.Open(ctx, ref, opts)
	}
	if root, selected, ok := pgBackRestAt(ref); ok && opts.Root == "" {
		return openPgBackRest(ctx, root, selected, opts)
	}
	if p, ok := barman.At(ref); ok && opts.Root == "" {
		return barman.Open(ctx, p, opts)
	}
	s, err := openPlain(ctx, ref, opts)
	if err != nil {
		return nil, err
	}
	if s != nil && s.Identity.IncrementalFromLSN != 0 {
		return openChain(ctx, s, opts)
	}
	if s != nil {
		return s, nil
	}
	list, err := os.ReadDir(ref)
	if err != nil {
		return nil, err
	}
	last, err := newestOfChain(ctx, ref)
	if err != nil {
		return nil, err
	}
	if last != "" {
		return openDir(ctx, last, opts)
	}
	if what := storeKind(ref, list); what != "" {
		return nil, snapshot.Errorf(snapshot.ErrUnsupported, "%s is %s", ref, what)
	}
	var inside []string
	for _, e := range list {
		sub := filepath.Join(ref, e.Name())
		if _, err := os.Lstat(filepath.Join(sub, "PG_VERSION")); err == nil && len(inside) < 10 {
			inside = append(inside, sub)
		}
	}
	if len(inside) > 0 {
		return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is no data directory itself, but has some in it: open one of %s", ref, strings.Join(inside, ", "))
	}
	return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: nothing that looks like a PostgreSQL backup: no PG_VERSION (a data directory), no base.tar (pg_basebackup -Ft)", ref)
}

// storeKind names a folder of another kind by the files that only it has.
func storeKind(ref string, list []os.DirEntry) string {
	names := map[string]bool{}
	for _, e := range list {
		names[e.Name()] = true
	}
	exists := func(pattern string) bool {
		m, err := filepath.Glob(filepath.Join(escapeGlob(ref), pattern))
		return err == nil && len(m) > 0
	}
	// mount tells how to get at what this build does not read itself.
	mount := func(command string) string {
		return ", whose backups are opened where they are mounted: " + command + ", then open the data directory below DIR"
	}
	switch {
	case names["toc.dat"]:
		return "a logical dump (pg_dump -Fd): it has no data files; restore it with pg_restore"
	case names["archive"] && names["backup"] && exists("archive/*/archive.info"):
		return "a pgBackRest repository without a readable list of backups (backup/*/backup.info)"
	case names["CONFIG"] && (names["packfiles"] || names["states"]):
		return "what is left of a Plakar Kloset store: it has no folder states, or CONFIG is no file"
	case names["config"] && names["snapshots"] && names["keys"] && names["data"]:
		return "a restic repository" + mount("restic mount DIR")
	case names["config"] && names["data"] && names["README"]:
		return "a borg repository" + mount("borg mount REPOSITORY DIR")
	case names["kopia.repository.f"] || names["kopia.repository"]:
		return "a kopia repository" + mount("kopia mount all DIR")
	case names["basebackups_005"]:
		return "a WAL-G store, a kind that this build does not open: fetch the backup (wal-g backup-fetch DIR NAME) and open DIR"
	case names["base"] && names["wals"]:
		return "a Barman server's folder without a readable list of backups (base/ID/backup.info, meta/ID-backup.info)"
	case names["data"] && names["backup.info"]:
		return "what is left of a Barman backup: its backup.info cannot be read; open its folder data and name the WAL with --wal-dir"
	}
	return ""
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// A magic is what the beginning of a file of some kind looks like.
type magic struct {
	off  int
	text string
	what string
}

var magics = []magic{
	{0, "PGDMP", "a logical dump (pg_dump -Fc): it has no data files; restore it with pg_restore"},
	{0, "--\n-- PostgreSQL database", "a logical dump in SQL: restore it with psql"},
	{0, "_KLOSET_", "one file of a Plakar Kloset store: open the store's folder"},
	{0, "PK\x03\x04", "a zip archive, which cannot be read on demand: unpack it"},
	{0, "Salted__", "an encrypted file (OpenSSL): decrypt it first"},
	{0, "age-encryption.org/", "an encrypted file (age): decrypt it first"},
}

func openFile(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	f, err := os.Open(ref)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 2048)
	n, err := io.ReadFull(f, head)
	closeErr := f.Close()
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if closeErr != nil {
		return nil, closeErr
	}
	head = head[:n]
	if tarball.IsTar(head) {
		return tarball.Open(ctx, ref, opts)
	}
	if kloset.IsPtar(head) {
		return kloset.Open(ctx, ref, opts)
	}
	if compressed.Codec(head) != "" {
		return compressed.Open(ctx, ref, opts)
	}
	if diskimage.Is(head) {
		return diskimage.Open(ctx, ref, opts)
	}
	for _, m := range magics {
		if len(head) >= m.off+len(m.text) && string(head[m.off:m.off+len(m.text)]) == m.text {
			return nil, snapshot.Errorf(snapshot.ErrUnsupported, "%s is %s", ref, m.what)
		}
	}
	return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s: a file that is no tar and none of the kinds known", ref)
}
