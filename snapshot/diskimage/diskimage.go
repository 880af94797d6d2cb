package diskimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/hostdir"
)

// Open opens the data directory in the disk image at ref, a file or a block
// device. Options.Root is the data directory's path inside of its file system,
// with the partition's number, or group/name of a logical volume, before a colon
// where that has to be said: "2:pgdata", "vg0/data:pgdata".
// Options.Tablespaces are paths inside of the image; Options.WALDir is the host's.
func Open(ctx context.Context, ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	counter := &snapshot.Counter{}
	disk, err := openDisk(ref, counter)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	d, err := draft(ctx, disk, opts, counter)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", ref, err), disk.Close())
	}
	d.Ref = ref
	d.Closers = append(d.Closers, disk)
	if opts.WALDir != "" {
		pool := hostdir.NewPool(opts.MaxOpenFiles, counter)
		d.Closers = append(d.Closers, pool)
		if d.WAL, err = hostdir.WAL(pool, opts.WALDir); err != nil {
			return nil, errors.Join(fmt.Errorf("WAL directory: %w", err), pool.Close(), disk.Close())
		}
	}
	opts.AssumeCrashConsistent = true // what an image is
	return snapshot.Identify(ctx, d, opts)
}

// A disk is an image as the bytes that its host saw.
type disk struct {
	io.ReaderAt
	io.Closer
	size    int64
	format  string
	backing []string // files that it builds on
}

func openDisk(ref string, counter *snapshot.Counter) (*disk, error) {
	f, err := os.Open(ref)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*disk, error) { return nil, errors.Join(err, f.Close()) }
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); n == len(head) && isQcow2(head) {
		img, names, err := openQcow2(f, counter)
		if err != nil {
			return fail(err)
		}
		return &disk{img, img, img.Size(), "qcow2", names}, nil
	}
	size, err := f.Seek(0, io.SeekEnd) // a block device's too
	if err != nil {
		return fail(err)
	}
	return &disk{counter.Reader(f), f, size, "raw", nil}, nil
}

// draft finds the data directory and records its files.
func draft(ctx context.Context, d *disk, opts snapshot.Options, counter *snapshot.Counter) (snapshot.Draft, error) {
	draft := snapshot.Draft{Kind: snapshot.KindDiskImage, Builder: snapshot.NewBuilder(), Counter: counter, CrashConsistent: true}
	list, err := volumes(d, d.size)
	if err != nil {
		return draft, err
	}
	vols, others, err := mountAll(d, list)
	if err != nil {
		return draft, err
	}
	data, err := choose(ctx, vols, opts.Root)
	if errors.Is(err, errNone) {
		return draft, nothing(vols, others)
	}
	if err != nil {
		return draft, err
	}
	b := &builder{
		ctx: ctx, opts: opts, vols: vols, data: data, b: draft.Builder,
		tablespaces: map[uint32]string{}, found: map[uint32]place{}, seen: map[string]bool{},
	}
	if err := b.run(); err != nil {
		return draft, fmt.Errorf("%s, /%s: %w", data.vol, data.path, err)
	}
	draft.Tablespaces = b.tablespaces
	draft.Checks = append(imageChecks(d, data), b.checks...)
	return draft, nil
}

// imageChecks says what was found where.
func imageChecks(d *disk, data place) []snapshot.Check {
	detail := fmt.Sprintf("%s image, data directory /%s in %s (%s)", d.format, data.path, data.vol, data.vol.fs.Kind())
	if len(d.backing) > 0 {
		detail += ", backed by " + strings.Join(d.backing, ", ")
	}
	checks := []snapshot.Check{{Name: "disk image", Outcome: snapshot.OK, Detail: detail}}
	replay := data.vol.fs.Replayed()
	if replay.Pieces > 0 {
		checks = append(checks, snapshot.Check{
			Name: "file system", Outcome: snapshot.Info,
			Detail: fmt.Sprintf("it was in use when the image was taken: %d %s are read from its journal, as a mount would replay it; the image is not written", replay.Pieces, replay.Unit),
		})
	} else {
		checks = append(checks, snapshot.Check{Name: "file system", Outcome: snapshot.OK, Detail: "nothing to replay in its journal"})
	}
	if replay.Torn != "" {
		checks = append(checks, snapshot.Check{
			Name: "file system", Outcome: snapshot.Warn,
			Detail: "the end of its journal was not whole and is left out, as by a mount: what was synced in the last moment may be missing (" + replay.Torn + ")",
			Remedy: "if the image should be whole, take it again",
		})
	}
	return checks
}

// mountAll opens the volumes whose file system can be read, and says what the
// others hold.
func mountAll(d *disk, list []volume) (vols []*mounted, others []string, err error) {
	var errs []error
	var pvs []volume
	for i := 0; i < len(list); i++ {
		v := list[i]
		var r io.ReaderAt = io.NewSectionReader(d, v.start, v.size)
		if v.r != nil {
			r = v.r
		}
		kind := fileSystem(r, 0, v.size)
		if open := readers[kind]; open != nil {
			f, err := open(r, v.size)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", v, err))
			} else {
				vols = append(vols, &mounted{v, f})
			}
			kind = ""
		}
		switch kind {
		case kindLVM:
			if !v.lvm {
				pvs = append(pvs, v)
			}
		case "", "swap":
		default:
			others = append(others, fmt.Sprintf("%s holds %s", v, kind))
		}
		if i == len(list)-1 && len(pvs) > 0 {
			found, not, err := logicals(d, pvs)
			if err != nil {
				errs = append(errs, err)
			}
			list, others, pvs = append(list, found...), append(others, not...), nil
		}
	}
	if len(vols) == 0 {
		return nil, others, errors.Join(errs...)
	}
	for _, err := range errs {
		// The data directory may be on another volume.
		others = append(others, err.Error())
	}
	return vols, others, nil
}

// nothing is the error of an image without a data directory that can be read.
func nothing(vols []*mounted, others []string) error {
	class, text := snapshot.ErrNotABackup, "no data directory of PostgreSQL in the image"
	if len(vols) == 0 {
		text = "no file system in the image that this build reads"
	}
	if len(others) > 0 {
		class = snapshot.ErrUnsupported
		text += ": " + strings.Join(others, ", ") + "; only ext4 and XFS are read, bare, in partitions or on linear volumes of LVM: attach the image to a host, mount it read-only and open the directory"
	}
	return snapshot.Errorf(class, "%s", text)
}

// choose returns the data directory that was asked for, or the only one.
func choose(ctx context.Context, vols []*mounted, root string) (place, error) {
	which, path, named := strings.Cut(root, ":")
	if named = named && slices.ContainsFunc(vols, func(m *mounted) bool { return m.id() == which }); named {
		root = path
	}
	var found []place
	for _, v := range vols {
		if named && v.id() != which {
			continue
		}
		if root != "" {
			p, err := v.lookup(root)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return place{}, fmt.Errorf("%s: %w", v, err)
			}
			if p.has(func(name string) bool { return name == "PG_VERSION" }) {
				found = append(found, p)
			}
			continue
		}
		list, err := v.search(ctx)
		if err != nil {
			return place{}, fmt.Errorf("%s: %w", v, err)
		}
		found = append(found, list...)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && root != "":
		return place{}, snapshot.Errorf(snapshot.ErrNotABackup, "there is no data directory at %s in the image", root)
	case len(found) == 0:
		return place{}, errNone
	}
	var names []string
	for _, p := range found[:min(len(found), 10)] {
		names = append(names, p.vol.id()+":"+p.path)
	}
	return place{}, snapshot.Errorf(snapshot.ErrNotABackup, "the image holds %d data directories: name one with --root: %s", len(found), strings.Join(names, ", "))
}
