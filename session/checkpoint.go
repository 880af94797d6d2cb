package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/pgrunner"
)

// Checkpoint seals what the overlay holds now under a name and goes on above
// it. The file system is frozen for the moment that this takes, and marked
// clean in what is sealed, so that a disk of the checkpoint mounts without a
// check; the server notices no more than a pause. What
// was committed before the call is part of the checkpoint.
func (s *Session) Checkpoint(ctx context.Context, name string) (cow.LayerID, error) {
	p, state := s.get()
	if state != Ready || p.disk == nil {
		return cow.LayerID{}, ErrNotReady
	}
	if st, err := p.overlay.Stats(); err == nil && st.Holding > 0 {
		first := "raise the limit first"
		switch st.HoldReason {
		case cow.HoldTotal:
			first = "the overlays of all sessions have reached the limit that they have together; close one, or discard layers, first"
		case cow.HoldDiskFull:
			first = "free space on the host's disk first"
		}
		return cow.LayerID{}, fmt.Errorf("writes are held for want of room (%s), so the file system cannot come to rest: %s", st.HoldReason, first)
	}
	if s.opts.Writable && p.server != nil {
		if err := flushLog(ctx, p.server); err != nil {
			return cow.LayerID{}, fmt.Errorf("bringing what was committed to the disk: %w", err)
		}
	}
	if err := p.disk.Freeze(); err != nil {
		return cow.LayerID{}, err
	}
	id, err := sealClean(p.overlay, name)
	return id, errors.Join(err, p.disk.Thaw())
}

// sealClean seals an overlay whose file system is frozen, and has it marked as
// cleanly unmounted. The kernel's own superblock, in memory, is not: it goes
// to the layer above when it is written next.
func sealClean(overlay *cow.Overlay, name string) (cow.LayerID, error) {
	superblock, err := ext4.CleanSuperblock(overlay)
	switch {
	case err != nil:
		return cow.LayerID{}, err
	case superblock == nil:
		return overlay.Checkpoint(name)
	}
	return overlay.Checkpoint(name, cow.Patch{Offset: ext4.SuperblockOffset, Data: superblock})
}

// flushLog makes a scratch server write its log up to now: it answers COMMIT
// before it has. A transaction waits for its own records only if it has some,
// and this function makes one in every version.
func flushLog(ctx context.Context, server *pgrunner.Server) error {
	databases := server.Databases()
	if len(databases) == 0 {
		return nil
	}
	conn, err := pgx.Connect(ctx, server.DSN(databases[0]))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "set synchronous_commit = on"); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "select pg_catalog.pg_logical_emit_message(true, 'snapview', '')")
	return err
}
