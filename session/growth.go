package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/growth"
)

// Growth says whose the bytes are that the overlay has taken since a
// checkpoint, or in all when since is the zero LayerID. It asks the kernel
// about each file of the mount and each database for its relations, so it
// takes about a second for 20,000 files.
func (s *Session) Growth(ctx context.Context, since cow.LayerID) (growth.Report, error) {
	p, state := s.get()
	if state != Ready || p.disk == nil {
		return growth.Report{}, ErrNotReady
	}
	// Blocks that the kernel has not placed yet belong to no extent.
	if err := p.disk.Sync(); err != nil {
		return growth.Report{}, err
	}
	var changed []growth.Extent
	err := p.overlay.Changed(since, func(e block.Extent) bool {
		// Zeros take no room.
		if e.State&block.ExtentHeld != 0 && e.State&block.ExtentZero == 0 {
			changed = append(changed, growth.Extent{Offset: e.Offset, Length: e.Length})
		}
		return true
	})
	if err != nil {
		return growth.Report{}, err
	}
	var files []growth.File
	err = p.disk.Files(ctx, func(f attach.File) bool {
		file := growth.File{Path: f.Path, Dir: f.Mode.IsDir(), Size: f.Size}
		for _, e := range f.Extents {
			if e.Physical != 0 {
				file.Extents = append(file.Extents, growth.Extent{Offset: e.Physical, Length: e.Length})
			}
		}
		files = append(files, file)
		return true
	})
	if err != nil {
		return growth.Report{}, err
	}
	names, err := s.names(ctx)
	if err := ctx.Err(); err != nil {
		return growth.Report{}, err
	}
	if err != nil {
		s.log.Warn("growth is shown by file number", "error", err)
	}
	meta := filesystemMetadata{end: p.base.Layout().MetadataBytes}
	return growth.Join(changed, files, meta, names), nil
}

// names asks every database for the relations behind its files. What one
// database does not tell leaves its files with their numbers.
func (s *Session) names(ctx context.Context) (growth.Names, error) {
	names := growth.Names{}
	server, err := s.Server()
	if err != nil {
		return names, err
	}
	var errs []error
	for _, database := range server.Databases() {
		if err := addNames(ctx, names, server.DSN(database)); err != nil {
			errs = append(errs, fmt.Errorf("database %s: %w", database, err))
		}
	}
	return names, errors.Join(errs...)
}

func addNames(ctx context.Context, names growth.Names, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return names.AddNames(ctx, conn)
}
