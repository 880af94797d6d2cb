package pgrunner

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A preparer changes a data directory so that it starts, and says what it
// changed. It works through an os.Root: the links in a backup are somebody
// else's and may point anywhere.
type preparer struct {
	c        Config
	uid, gid int
	root     *os.Root // Config.Root
	data     string   // below root
	changes  []string
	warnings []string
	carried  map[string]string // settings of the backup that are kept
}

// leftovers are files that would make the server do what its old host wanted.
var leftovers = []struct{ name, why string }{
	{"recovery.signal", "would ask for WAL from an archive"},
	{"standby.signal", "would follow the old primary"},
	{"recovery.conf", "would follow the old primary; refused since version 12"},
	{"promote", "would promote the standby"},
	{"promote.signal", "would promote the standby"},
	{"fallback_promote", "would promote the standby"},
	{"postmaster.pid", "names a process of the old host"},
	{"postmaster.opts", "names the options of the old host"},
	{"tablespace_map", "would point tablespaces to directories of the old host"},
	{"current_logfiles", "names the log of the old host"},
}

// emptied are directories whose contents belong to a running server. Backup
// tools leave them empty, copies of a stopped or snapshotted server do not.
var emptied = []struct{ name, why string }{
	{"pg_replslot", "replication slots hold WAL back and may need wal_level=logical"},
	{"pg_dynshmem", "shared memory of the old server"},
	{"pg_stat_tmp", "temporary statistics of the old server"},
	{"pg_notify", "notifications nobody waits for"},
	{"pg_snapshots", "snapshots exported by the old server"},
	{"pg_serial", "transactions of the old server"},
}

// needed are directories that PostgreSQL does not start without and that some
// backup tools do not store where they are empty.
var needed = []string{
	"pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_logical/mappings", "pg_logical/snapshots",
	"pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans",
	"pg_tblspc", "pg_twophase", "pg_wal",
}

func (p *preparer) changed(format string, args ...any) {
	p.changes = append(p.changes, fmt.Sprintf(format, args...))
}

func (p *preparer) path(name string) string { return filepath.Join(p.data, name) }

// run makes every change. keep is a directory of the host that gets copies of
// what is lost.
func (p *preparer) run(keep string) error {
	if err := p.topDirectory(); err != nil {
		return err
	}
	p.carry()
	if err := p.wal(); err != nil {
		return err
	}
	for _, d := range needed {
		if err := p.mkdir(d); err != nil {
			return err
		}
	}
	if err := p.tablespaces(); err != nil {
		return err
	}
	for _, l := range leftovers {
		if err := p.remove(l.name, l.why, keep); err != nil {
			return err
		}
	}
	for _, d := range emptied {
		if err := p.empty(d.name, d.why); err != nil {
			return err
		}
	}
	return p.autoConf(keep)
}

// topDirectory makes the data directory the server's own: PostgreSQL looks at
// the owner and mode of this directory, and of no other.
func (p *preparer) topDirectory() error {
	st, err := p.root.Stat(p.data)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if m := st.Mode().Perm(); m != 0o700 && (m != 0o750 || p.c.Major < 11) {
		if err := p.root.Chmod(p.data, 0o700); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		p.changed("the data directory's mode was %04o, which PostgreSQL refuses; it is 0700 now", m)
	}
	if uid, gid := owner(st); uid != p.uid || gid != p.gid {
		if err := p.root.Chown(p.data, p.uid, p.gid); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
	}
	return nil
}

// wal sees to it that pg_wal is a directory. A link points to where the old
// host kept its WAL; what reads the backup shows it in its place, if it has it.
func (p *preparer) wal() error {
	st, err := p.root.Lstat(p.path("pg_wal"))
	if err != nil || st.Mode()&fs.ModeSymlink == 0 {
		return nil // made by needed, if absent
	}
	if st, err := p.root.Stat(p.path("pg_wal")); err == nil && st.IsDir() {
		return nil
	}
	to, _ := p.root.Readlink(p.path("pg_wal"))
	return fmt.Errorf("pg_wal is a link to %s, which is not part of the backup: "+
		"without the WAL written during the backup it cannot be opened", to)
}

func (p *preparer) mkdir(name string) error {
	err := p.root.Mkdir(p.path(name), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	p.changed("%s was not in the backup; it is made, empty", name)
	return p.own(p.path(name))
}

func (p *preparer) own(path string) error {
	if err := p.root.Lchown(path, p.uid, p.gid); err != nil {
		return fmt.Errorf("give %s to the server: %w", path, err)
	}
	return nil
}

// tablespaces points the links of pg_tblspc into Root. A relative link is
// right wherever Root is mounted.
func (p *preparer) tablespaces() error {
	oids := map[string]bool{}
	links, err := p.list(p.path("pg_tblspc"))
	if err != nil {
		return err
	}
	for _, e := range links {
		if _, err := strconv.ParseUint(e.Name(), 10, 32); err != nil {
			continue
		}
		if !e.IsDir() { // a directory is a tablespace in place
			oids[e.Name()] = true
		}
	}
	// In a tar backup the links are in tablespace_map only.
	m, err := p.root.ReadFile(p.path("tablespace_map"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(m)) {
		if oid, _, ok := strings.Cut(line, " "); ok {
			if _, err := strconv.ParseUint(oid, 10, 32); err == nil {
				oids[oid] = true
			}
		}
	}
	for oid := range oids {
		if err := p.tablespace(oid); err != nil {
			return err
		}
	}
	return nil
}

func (p *preparer) tablespace(oid string) error {
	link := filepath.Join(p.data, "pg_tblspc", oid)
	inside := filepath.Join(p.c.TablespaceDir, oid)
	old, err := p.root.Readlink(link)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tablespace %s: %w", oid, err)
	}
	if _, err := p.root.Stat(inside); err != nil {
		if st, err := p.root.Stat(link); old != "" && !filepath.IsAbs(old) && err == nil && st.IsDir() {
			return nil // elsewhere below Root
		}
		p.warnings = append(p.warnings, fmt.Sprintf("tablespace %s (%s) is not in the backup: its tables cannot be read", oid, old))
		return nil
	}
	want, err := filepath.Rel(filepath.Dir(link), inside)
	if err != nil {
		return err
	}
	if old == want {
		return nil
	}
	if old != "" {
		if err := p.root.Remove(link); err != nil {
			return fmt.Errorf("tablespace %s: %w", oid, err)
		}
	}
	if err := p.root.Symlink(want, link); err != nil {
		return fmt.Errorf("tablespace %s: %w", oid, err)
	}
	p.changed("the link of tablespace %s pointed to %q; it points into the overlay now", oid, old)
	return p.own(link)
}

// carry reads the settings to keep from the backup's own files; those that
// are not there, or not readable, have none.
func (p *preparer) carry() {
	p.carried = map[string]string{}
	for _, name := range []string{"postgresql.conf", "postgresql.auto.conf"} {
		f, err := p.root.Open(p.path(name))
		if err != nil {
			continue
		}
		b, _ := io.ReadAll(io.LimitReader(f, maxKept))
		_ = f.Close()
		carriedSettings(string(b), p.carried)
	}
}

// remove removes a file, having kept a copy of small ones.
func (p *preparer) remove(name, why, keep string) error {
	if _, err := p.root.Lstat(p.path(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := p.keep(name, keep); err != nil {
		return err
	}
	if err := p.root.RemoveAll(p.path(name)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	p.changed("%s is removed: it %s", name, why)
	return nil
}

// maxKept is the size up to which a lost file is kept for display.
const maxKept = 1 << 20

func (p *preparer) keep(name, keep string) error {
	f, err := p.root.Open(p.path(name))
	if err != nil {
		return nil // a dangling link, a socket: nothing to keep
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKept))
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(keep, name), b, 0o600)
}

func (p *preparer) empty(dir, why string) error {
	es, err := p.list(p.path(dir))
	if err != nil || len(es) == 0 {
		return err
	}
	for _, e := range es {
		if err := p.root.RemoveAll(filepath.Join(p.data, dir, e.Name())); err != nil {
			return fmt.Errorf("empty %s: %w", dir, err)
		}
	}
	p.changed("%s is emptied (%d entries): %s", dir, len(es), why)
	return nil
}

func (p *preparer) list(dir string) ([]fs.DirEntry, error) {
	f, err := p.root.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	defer f.Close()
	es, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return es, nil
}

// autoConf empties postgresql.auto.conf. It is the one file of settings that
// PostgreSQL reads from the data directory whatever its command line says.
func (p *preparer) autoConf(keep string) error {
	const name = "postgresql.auto.conf"
	st, err := p.root.Lstat(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode().IsRegular() && st.Size() == 0 {
		return nil
	}
	if err := p.keep(name, keep); err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		// A link: truncating it would follow it.
		p.changed("%s was no regular file; it is removed", name)
		return p.root.RemoveAll(p.path(name))
	}
	f, err := p.root.OpenFile(p.path(name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return fmt.Errorf("empty %s: %w", name, err)
	}
	p.changed("%s is emptied: its settings were the old host's", name)
	return f.Close()
}

// standbySignal makes the next start that of a standby.
func (p *preparer) standbySignal() error {
	name, text := "standby.signal", ""
	if p.c.Major < 12 {
		name, text = "recovery.conf", recoveryConf
	}
	if err := p.root.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return p.own(p.path(name))
}
