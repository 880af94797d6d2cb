// Package sources opens a snapshot by its reference: it looks at what lies
// there, by content and never by name alone, and hands it to the source that
// knows the kind. A path on this host and an address are both a place in an
// objects.Store and go the same way. What is recognised but cannot be opened
// gets an error that says what it is.
package sources

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/diskimage"
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
	more := opts.Chain
	opts.Chain = nil
	o := newOpening(ctx, opts)
	if len(more) > 0 {
		return o.end(o.openList(append([]string{ref}, more...)))
	}
	return o.end(o.open(ref))
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

// open opens what lies at a reference, an incremental backup with its
// predecessors.
func (o *opening) open(ref string) (*snapshot.Snapshot, error) {
	if !isAddress(ref) {
		place, _ := SplitRef(ref)
		info, err := os.Stat(place)
		if err != nil {
			return nil, notHere(place, err)
		}
		switch {
		case info.Mode().Type() == fs.ModeDevice: // a block device, such as an LVM snapshot
			return diskimage.Open(o.ctx, place, o.opts)
		case !info.IsDir() && !info.Mode().IsRegular():
			return nil, snapshot.Errorf(snapshot.ErrNotABackup, "%s is neither a file nor a directory", place)
		}
	}
	p, selected, err := o.find(ref)
	if err != nil {
		return nil, err
	}
	opts := o.opts
	if selected != "" {
		opts.Select = selected
	}
	if p.kind() == nil && p.folder {
		newest, err := p.newestOfChain()
		if err != nil {
			return nil, err
		}
		if newest != nil {
			p = newest
		}
	}
	s, err := p.open(opts)
	if err != nil || s.Identity.IncrementalFromLSN == 0 {
		return s, err
	}
	return p.openChain(s, opts)
}

// openAlone opens one backup by itself, without what it builds on.
func (o *opening) openAlone(ref string, opts snapshot.Options) (*snapshot.Snapshot, error) {
	p, selected, err := o.find(ref)
	if err != nil {
		return nil, err
	}
	if selected != "" {
		opts.Select = selected
	}
	return p.open(opts)
}

// open opens what lies at a place that was looked at, by itself.
func (p *place) open(opts snapshot.Options) (*snapshot.Snapshot, error) {
	k := p.kind()
	if k == nil {
		return nil, p.nothing()
	}
	return k.open(p, opts)
}

// notHere says of a path that is not there how much of it is missing: a disk that
// is not mounted lacks more than a name that was misspelt. Other errors stay.
func notHere(ref string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	missing := ref
	var at *fs.PathError
	if _, err := filepath.EvalSymlinks(ref); errors.As(err, &at) {
		missing = at.Path
	}
	if abs, err := filepath.Abs(missing); err == nil {
		missing = abs
	}
	return snapshot.Errorf(fs.ErrNotExist, "%s: it is not there: this host has no %s. Check the path, and that the disk or share that it lies on is mounted", ref, missing)
}

// resolve returns a path on this host, absolute and without links.
func resolve(ref string) (string, error) {
	at, err := filepath.EvalSymlinks(ref)
	if err != nil {
		return "", err
	}
	return filepath.Abs(at)
}
