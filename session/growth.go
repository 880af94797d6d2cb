package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/growth"
)

// ErrNotBelow is returned when growth is asked for from a checkpoint that is no
// part of the other's disk.
var ErrNotBelow = errors.New("it does not lie below the other")

// Growth says whose the bytes are that were written since a checkpoint (the
// zero LayerID: since the backup as it came) until another that lies above it,
// or until now when until is nil.
//
// The bytes, files and structures of the file system are exact: those of now
// are asked of the kernel, those of a checkpoint are read from its disk.
// Relations are named by the catalogue of now, since a file's number stays its
// own; Report.Notes says where that leaves something without a name. It takes
// about a second for 20,000 files.
func (s *Session) Growth(ctx context.Context, since cow.LayerID, until *cow.LayerID) (growth.Report, error) {
	p, state := s.get()
	if state != Ready || p.disk == nil {
		return growth.Report{}, ErrNotReady
	}
	if until != nil {
		if _, err := s.chainBetween(since, *until); err != nil {
			return growth.Report{}, err
		}
	}
	names, notes, err := s.namesAt(ctx, until)
	if err != nil {
		return growth.Report{}, err
	}
	r, err := s.growth(ctx, since, until, names)
	if err != nil {
		return growth.Report{}, err
	}
	r.Notes = append(notes, r.Notes...)
	return r, nil
}

// growth is Growth once it is known what to ask for.
func (s *Session) growth(ctx context.Context, since cow.LayerID, until *cow.LayerID, names growth.Names) (growth.Report, error) {
	p, _ := s.get()
	var changed []growth.Extent
	collect := func(e block.Extent) bool {
		// Zeros take no room.
		if e.State&block.ExtentHeld != 0 && e.State&block.ExtentZero == 0 {
			changed = append(changed, growth.Extent{Offset: e.Offset, Length: e.Length})
		}
		return true
	}
	var files []growth.File
	var err error
	settled := true
	if until == nil {
		// Blocks that the kernel has not placed yet belong to no extent.
		if settled, err = s.settle(ctx, p.disk.Sync); err != nil {
			return growth.Report{}, err
		}
		if err := p.overlay.Changed(since, collect); err != nil {
			return growth.Report{}, err
		}
		files, err = mountedFiles(ctx, p.disk)
	} else {
		if err := p.store.Changed(since, *until, collect); err != nil {
			return growth.Report{}, err
		}
		files, err = s.filesAt(ctx, *until)
	}
	if err != nil {
		return growth.Report{}, err
	}
	meta := filesystemMetadata{end: p.base.Layout().MetadataBytes}
	r := growth.Join(changed, files, meta, names)
	if !settled {
		r.Notes = append(r.Notes, "Writes are waiting: what the server has written and the overlay has not taken is not counted.")
	}
	return r, nil
}

// settle has the kernel write what it still keeps to itself. While writes are
// held that does not end, and whose bytes there are is asked just then: settled is
// false when the held ones were left alone.
func (s *Session) settle(ctx context.Context, sync func() error) (settled bool, err error) {
	if s.Figures().Holding {
		return false, nil
	}
	done := make(chan error, 1)
	go func() { done <- sync() }()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case err := <-done:
			return true, err
		case <-ctx.Done():
			return false, ctx.Err()
		case <-look.C:
			if s.Figures().Holding {
				return false, nil
			}
		}
	}
}

// A GrowthStep is what one layer of a chain added.
type GrowthStep struct {
	From, To cow.LayerID // To is the zero LayerID in the step up to now
	Name     string      // of the checkpoint To
	At       time.Time   // when To was sealed; the present in the step up to now
	Since    int64       // bytes since the beginning of the first step, each block once
	Report   growth.Report
}

// GrowthSteps is Growth layer by layer, the oldest first. A block that several
// layers hold counts in each, so the steps may add up to more than Since.
func (s *Session) GrowthSteps(ctx context.Context, since cow.LayerID, until *cow.LayerID) ([]GrowthStep, error) {
	p, state := s.get()
	if state != Ready || p.disk == nil {
		return nil, ErrNotReady
	}
	top := s.Top()
	if until != nil {
		top = *until
	}
	chain, err := s.chainBetween(since, top)
	if err != nil {
		return nil, err
	}
	names, notes, err := s.namesAt(ctx, until)
	if err != nil {
		return nil, err
	}
	var steps []GrowthStep
	for _, l := range chain {
		step := GrowthStep{From: l.Parent, To: l.ID, Name: l.Name, At: l.SealedAt}
		to := &l.ID
		if !l.Sealed {
			step.To, step.At, to = cow.LayerID{}, time.Now(), nil
		}
		if step.Report, err = s.growth(ctx, l.Parent, to, names); err != nil {
			return nil, err
		}
		step.Report.Notes = append(slices.Clone(notes), step.Report.Notes...)
		count := func(e block.Extent) bool {
			if e.State&block.ExtentHeld != 0 && e.State&block.ExtentZero == 0 {
				step.Since += e.Length
			}
			return true
		}
		if to == nil {
			err = p.overlay.Changed(since, count)
		} else {
			err = p.store.Changed(since, l.ID, count)
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// chainBetween returns the layers above since that make up until's disk, the
// lowest first. until is a checkpoint, or the session's own top.
func (s *Session) chainBetween(since, until cow.LayerID) ([]cow.LayerInfo, error) {
	p, _ := s.get()
	if until != s.Top() {
		if err := checkSealed(p.store, until); err != nil {
			return nil, err
		}
	}
	chain, err := s.chainUpTo(until)
	if err != nil || since.IsBase() {
		return chain, err
	}
	for i, l := range chain {
		if l.ID == since {
			return chain[i+1:], nil
		}
	}
	return nil, fmt.Errorf("checkpoint %s: %w: growth goes from a checkpoint to one above it, or to now", since, ErrNotBelow)
}

// namesAt returns what the relations of a moment are called, and what has to
// be said about that. Numbers of files are given out anew in each branch, so
// only a session whose disk lies over the checkpoint knows them.
func (s *Session) namesAt(ctx context.Context, until *cow.LayerID) (growth.Names, []string, error) {
	knows, notes := s, []string(nil)
	if until != nil {
		knows = s.branchOf(*until)
	}
	switch {
	case knows == nil:
		return nil, []string{"Relations are shown by the number of their file: no open session lies over this checkpoint and could name them."}, nil
	case knows != s:
		notes = append(notes, fmt.Sprintf("Relations are named by the catalogue of session %s, whose checkpoint this is.", knows.id))
	}
	names, err := knows.names(ctx)
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err != nil {
		s.log.Warn("growth is shown by file number", "error", err)
		notes = append(notes, "Some databases did not say what their files are: they are shown by number.")
	}
	return names, notes, nil
}

// branchOf finds a session whose disk lies over a checkpoint, itself before
// others.
func (s *Session) branchOf(id cow.LayerID) *Session {
	p, _ := s.get()
	for _, candidate := range append([]*Session{s}, p.laidOut.sessions()...) {
		if _, err := candidate.Server(); err != nil {
			continue
		}
		chain, err := candidate.Chain()
		if err == nil && slices.ContainsFunc(chain, func(l cow.LayerInfo) bool { return l.ID == id }) {
			return candidate
		}
	}
	return nil
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
