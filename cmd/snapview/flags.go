package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
	"github.com/snapview/snapview/snapshot"
)

// openFlags are those of every command that opens a backup.
type openFlags struct {
	attach      string
	runner      string
	image       string
	memory      bytesValue
	maxOverlay  bytesValue
	ttl         time.Duration
	idle        time.Duration
	nbdListen   string
	psqlListen  string
	writable    bool
	unsafe      bool
	tablespaces []string
	walDir      string
	root        string
	chain       []string
	cacheDir    string
	cacheLimit  bytesValue
	readAhead   string
	passphrase  passphraseAsker
	verbose     bool
}

// backupFlags adds the flags that say how the backup is to be read.
func (f *openFlags) backupFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVar(&f.tablespaces, "tablespace", nil, "where a tablespace's files lie, if not where the backup's link says: `OID=DIR` (repeatable)")
	flags.StringVar(&f.walDir, "wal-dir", "", "take the write-ahead log from this directory, if the backup's own lies elsewhere")
	flags.StringVar(&f.root, "root", "", "the data directory's path inside REF, where there are several (in a disk image also PARTITION:PATH or GROUP/VOLUME:PATH)")
	flags.StringArrayVar(&f.chain, "chain", nil, "another backup of the chain that `REF`, an incremental one, belongs to, if it does not lie beside it (repeatable)")
	f.cacheFlags(c)
	flags.StringVar(&f.readAhead, "read-ahead", "auto", "read a directory in larger pieces, ahead, and keep them in the cache: on, off, or auto, for network file systems and FUSE")
	complete(c, "read-ahead", "auto", "on", "off")
	flags.StringVar(&f.passphrase.file, "passphrase-file", "", "file with the passphrase of an encrypted backup (default $SNAPVIEW_PASSPHRASE, or asked for at a terminal)")
	f.passphrase.command = c
	flags.BoolVar(&f.unsafe, "assume-crash-consistent", false, "the data directory is a snapshot of one instant (ZFS, LVM, EBS): open it without a backup_label")
}

// cacheFlags adds the flags that say where indexes and copies are kept.
func (f *openFlags) cacheFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.cacheDir, "cache-dir", "", "where indexes of compressed backups and parts of remote ones are kept (default $SNAPVIEW_CACHE_DIR, or the user's cache directory)")
	f.cacheLimit = snapshot.DefaultCacheLimit
	flags.Var(&f.cacheLimit, "cache-limit", "how much of each is kept; what was used least recently goes")
}

// serverFlags adds the flags that say how it is shown.
func (f *openFlags) serverFlags(c *cobra.Command) {
	f.runnerFlags(c)
	c.Flags().BoolVar(&f.writable, "writable", false, "a scratch server that takes writes, into the overlay only")
}

// runnerFlags adds the flags that say what the server runs on.
func (f *openFlags) runnerFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.runner, "runner", "auto", "what runs PostgreSQL: auto, docker or local")
	flags.StringVar(&f.image, "image", "", "container image (default postgres:<major>)")
	flags.Var(&f.memory, "memory", "how much memory the server may take; none is half of the host's, 1 GiB to 4 GiB")
	flags.StringVar(&f.attach, "attach", "auto", "how the kernel gets the disk: auto, nbd or fuse")
	flags.Var(&f.maxOverlay, "max-overlay", "hold writes when the overlay has this many bytes")
	complete(c, "runner", "auto", "docker", "local")
	complete(c, "attach", "auto", "nbd", "fuse")
}

// complete offers fixed values for a flag in the shell's completion.
func complete(c *cobra.Command, flag string, values ...string) {
	err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag's name is misspelt above
	}
}

// options turns the flags into what a session is opened with.
func (a *app) options(ref string, f *openFlags) (session.Options, error) {
	method, err := attach.ParseMethod(orAuto(f.attach))
	if err != nil {
		return session.Options{}, usageError{err}
	}
	runner, err := pgrunner.ParseKind(orAuto(f.runner))
	if err != nil {
		return session.Options{}, usageError{err}
	}
	snap, err := f.snapshotOptions()
	if err != nil {
		return session.Options{}, err
	}
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelDebug
	}
	return session.Options{
		StateDir: a.stateRoot(), Ref: ref, Snapshot: snap,
		Attach: method, Runner: runner, Image: f.image, Memory: int64(f.memory),
		Writable: f.writable, MaxOverlay: int64(f.maxOverlay), TTL: f.ttl, Idle: f.idle,
		NBDListen: f.nbdListen, PSQLListen: f.psqlListen,
		Logger: slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})),
	}, nil
}

// snapshotOptions turns the flags about reading the backup into its options.
func (f *openFlags) snapshotOptions() (snapshot.Options, error) {
	opts := snapshot.Options{
		AssumeCrashConsistent: f.unsafe, Tablespaces: map[uint32]string{},
		WALDir: f.walDir, Root: f.root, CacheDir: f.cacheDir, CacheLimit: int64(f.cacheLimit), Chain: f.chain, Passphrase: f.passphrase.ask,
	}
	switch opts.ReadAhead = snapshot.ReadAhead(orAuto(f.readAhead)); opts.ReadAhead {
	case snapshot.ReadAheadAuto, snapshot.ReadAheadOn, snapshot.ReadAheadOff:
	default:
		return opts, usageError{fmt.Errorf("--read-ahead %q: write auto, on or off", f.readAhead)}
	}
	if opts.CacheDir == "" {
		opts.CacheDir = os.Getenv("SNAPVIEW_CACHE_DIR")
	}
	for _, mapping := range f.tablespaces {
		oid, dir, ok := strings.Cut(mapping, "=")
		var n uint32
		if _, err := fmt.Sscan(oid, &n); !ok || err != nil || dir == "" {
			return opts, usageError{fmt.Errorf("--tablespace %q: write OID=DIR", mapping)}
		}
		opts.Tablespaces[n] = dir
	}
	return opts, nil
}

func orAuto(s string) string {
	if s == "" {
		return "auto"
	}
	return s
}

// needsRoot says which step of opening a backup needs root, before anything
// is done.
func needsRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return fmt.Errorf("%w: mounting the virtual disk needs root (CAP_SYS_ADMIN): run it with sudo; snapview inspect and snapview nbd need no root", attach.ErrUnsupported)
}
