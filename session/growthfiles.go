package session

import (
	"context"
	"fmt"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/ext4/filemap"
	"github.com/snapview/snapview/growth"
)

// mountedFiles are those of the mount, as the kernel tells.
func mountedFiles(ctx context.Context, disk *attach.Attachment) (files []growth.File, err error) {
	err = disk.Files(ctx, func(f attach.File) bool {
		file := growth.File{Path: f.Path, Dir: f.Mode.IsDir(), Size: f.Size}
		for _, e := range f.Extents {
			if e.Physical != 0 {
				file.Extents = append(file.Extents, growth.Extent{Offset: e.Physical, Length: e.Length})
			}
		}
		files = append(files, file)
		return true
	})
	return files, err
}

// filesAt are those of a checkpoint's disk, read from it. The blocks of their
// extent trees are a file of their own, of the file system's.
func (s *Session) filesAt(ctx context.Context, id cow.LayerID) (files []growth.File, err error) {
	image, err := s.OpenDisk(ctx, id)
	if err != nil {
		return nil, err
	}
	defer image.Close() //nolint:errcheck // nothing was written
	trees := growth.File{Path: "extent trees", Structure: true}
	err = filemap.Walk(ctx, image, image.Size(), func(f filemap.File) bool {
		files = append(files, growth.File{Path: f.Path, Dir: f.Dir, Size: f.Size, Extents: growthExtents(f.Extents)})
		trees.Extents = append(trees.Extents, growthExtents(f.Tree)...)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("reading which files the disk of checkpoint %s has: %w", id, err)
	}
	return append(files, trees), nil
}

func growthExtents(list []filemap.Extent) []growth.Extent {
	out := make([]growth.Extent, len(list))
	for i, e := range list {
		out[i] = growth.Extent{Offset: e.Offset, Length: e.Length}
	}
	return out
}
