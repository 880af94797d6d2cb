package snapshot

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Kind says what keeps the backup.
type Kind string

// The kinds of snapshots.
const (
	KindDirectory   Kind = "directory"      // a data directory, with links to its tablespaces
	KindTarFolder   Kind = "tar folder"     // pg_basebackup -Ft: base.tar, <oid>.tar, pg_wal.tar
	KindTar         Kind = "tar"            // one tar with the whole cluster
	KindCompressed  Kind = "compressed tar" // either of the two before, compressed
	KindIncremental Kind = "incremental"    // a chain of PostgreSQL 17's incremental backups
	KindKloset      Kind = "kloset"         // a Plakar Kloset store or .ptar
	KindPgBackRest  Kind = "pgbackrest"     // a pgBackRest repository
	KindBarman      Kind = "barman"         // a Barman server's catalogue
	KindDiskImage   Kind = "disk image"     // raw or qcow2, with a file system in it
	KindMemory      Kind = "memory"         // made up by a test
)

// Options say how to open a snapshot. The zero value is usable.
type Options struct {
	// Tablespaces tells where tablespaces lie whose links lead nowhere any
	// more: OID to directory on this host.
	Tablespaces map[uint32]string

	// WALDir is a directory on this host to take for pg_wal when the
	// backup's own link leads nowhere or its WAL lies elsewhere.
	WALDir string

	// AssumeCrashConsistent opens a copy without backup_label of a server
	// that was running. It is right for an atomic snapshot of the storage
	// (LVM, ZFS, a cloud disk) and shows wrong data for any other copy.
	AssumeCrashConsistent bool

	// Root is the data directory's path inside the reference where there is
	// more than one, for example "node1/pgdata". Empty: find it.
	Root string

	// Select names the snapshot in a store that holds several: a label, a
	// prefix of one, or "latest", which is also what empty means.
	Select string

	// Chain names the other backups of the chain that the one to be opened
	// belongs to, in any order, where they do not lie beside it
	// (PostgreSQL 17's incremental backups).
	Chain []string

	// Passphrase gives the passphrase of an encrypted store; what names the
	// store for a prompt. If it is nil, an encrypted store is ErrPassphrase.
	Passphrase func(what string) ([]byte, error)

	// ReadAhead says which directories of this host are read in larger
	// pieces, ahead, and through the cache. Empty is ReadAheadAuto.
	ReadAhead ReadAhead

	// MaxOpenFiles bounds the file descriptors a source keeps open;
	// 0 means DefaultMaxOpenFiles, or less where the process may not have
	// many times as many.
	MaxOpenFiles int

	// CacheDir is where indexes of compressed files are kept, and what was
	// fetched from object stores. Empty means the user's cache directory.
	// CacheLimit bounds each of the two in bytes; 0 means DefaultCacheLimit.
	CacheDir   string
	CacheLimit int64

	// Progress, if not nil, is called from one goroutine at a time with how
	// far a pass over the data has come. It must return quickly.
	Progress func(Progress)

	// Notice, if not nil, is told in words what a reader should know while
	// the snapshot is open: that its store does not answer and reads wait,
	// and that it does again. It is called from any goroutine.
	Notice func(message string)
}

// ReadAhead says when directories are read through a cache.
type ReadAhead string

// When directories are read through a cache.
const (
	ReadAheadAuto ReadAhead = "auto" // network file systems and FUSE
	ReadAheadOn   ReadAhead = "on"   // any
	ReadAheadOff  ReadAhead = "off"  // none
)

// Defaults of Options.
const (
	DefaultMaxOpenFiles = 1024 // a chain of eight has eight files for each that is read
	DefaultCacheLimit   = 20 << 30
)

// Progress of a pass over a file that cannot be read at random yet.
type Progress struct {
	Object string // the file, as the user named it
	Done   int64  // bytes of Object consumed
	Total  int64  // bytes of Object, 0 if not known
}

// Identity is what a backup says of itself. Fields that the backup does not
// tell have their zero value.
type Identity struct {
	PGVersion   int    // major version, from PG_VERSION
	SystemID    uint64 // of the cluster, from pg_control
	Timeline    uint32 // that recovery starts on
	LabelName   string // LABEL of backup_label
	FromStandby bool   // taken from a standby

	// IncrementalFromLSN is where the predecessor's backup starts on
	// timeline IncrementalFromTLI; 0 for a full backup, and for a chain
	// that is opened as a whole.
	IncrementalFromLSN LSN
	IncrementalFromTLI uint32

	CheckpointLSN LSN // the checkpoint recovery starts from
	RedoLSN       LSN // the first WAL byte it needs
	StartLSN      LSN // of the backup; RedoLSN without backup_label
	EndLSN        LSN // consistent from here on; 0 if not known

	StartTime time.Time // of the backup
	StopTime  time.Time

	Checksums      bool // data pages carry checksums
	State          DBState
	InRecovery     bool // pg_control is a standby's, or of a recovery cut short
	CatalogVersion uint32
	ControlVersion uint32
	BlockSize      int // of a page, bytes
	RelSegBlocks   int // pages in a segment of a relation
	WALBlockSize   int
	WALSegmentSize int // bytes

	Limits Limits // what recovery needs at least
}

// Limits are the settings that a standby must not have lower than its primary
// had, from pg_control.
type Limits struct {
	MaxConnections       int
	MaxWorkerProcesses   int
	MaxWALSenders        int // 0 before PostgreSQL 12
	MaxPreparedXacts     int
	MaxLocksPerXact      int
	TrackCommitTimestamp bool
	WALLevel             string // minimal, replica, logical
	WALLogHints          bool
}

// A Tablespace of the snapshot.
type Tablespace struct {
	OID      uint32
	Original string // where it lay on the source host or in the backup; may be empty
	Bytes    int64
	Files    int
}

// Size of a snapshot's tree: regular files, apparent sizes, WAL included.
type Size struct {
	Bytes int64
	Files int
}

// A Snapshot is a backup opened for reading. Its fields are set when it is
// opened and never change; all methods may be called concurrently.
type Snapshot struct {
	Kind        Kind
	Ref         string
	Identity    Identity
	Tree        Tree
	Tablespaces []Tablespace
	Settings    []Setting  // the source host's configuration, for display
	Databases   []Database // as far as its files tell without a server
	Checks      []Check
	Warnings    []string // Detail of every check whose outcome is warn
	Size        Size

	// CrashConsistent: the files are those of one instant, as after a power
	// failure, by the nature of the store. No backup_label is needed then.
	CrashConsistent bool

	counter *Counter
	parts   []*Snapshot // that this one is made of
	indexes []Index
	tree    *tree
	closers []io.Closer
	once    sync.Once
	err     error
}

// BytesRead returns how many bytes were read from the store so far, those
// read to identify it and to index it included.
func (s *Snapshot) BytesRead() int64 {
	n := s.counter.Load()
	for _, p := range s.parts {
		n += p.BytesRead()
	}
	return n
}

// Parts returns the snapshots that this one reads through, such as the backups
// of an incremental chain, oldest first. They are closed with it.
func (s *Snapshot) Parts() []*Snapshot { return slices.Clone(s.parts) }

// Err returns the reason not to open the snapshot, an error of class
// ErrUnsafe, ErrUnsupported or ErrDamaged, or nil if no check refuses.
// A Snapshot with such a reason is still good for looking at its checks.
func (s *Snapshot) Err() error {
	for _, c := range s.Checks {
		if c.Outcome == Refuse {
			return fmt.Errorf("%s: %w", s.Ref, c.err())
		}
	}
	return nil
}

// Close releases what the snapshot holds. Reads fail with os.ErrClosed
// afterwards; reads under way end first. Calling it again returns what the
// first call returned.
func (s *Snapshot) Close() error {
	s.once.Do(func() {
		if s.tree != nil {
			s.tree.closed.Store(true)
		}
		var errs []error
		for i := len(s.closers) - 1; i >= 0; i-- {
			errs = append(errs, s.closers[i].Close())
		}
		s.err = errors.Join(errs...)
	})
	return s.err
}
