package session

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/pgrunner"
)

// ForkOptions say what a fork starts from.
type ForkOptions struct {
	// From is a checkpoint, or the zero LayerID for the backup as it came.
	// Without it, what the session holds now is sealed as a checkpoint.
	From *cow.LayerID

	// Name is what people call the fork; it may be empty.
	Name string
	// Writable is as in Options.
	Writable bool
}

// An origin is what a fork came from.
type origin struct {
	parent string // session
	from   cow.LayerID
	plan   *pgrunner.Plan
}

// atOneInstant says whether the disk that a session starts on is one of a
// running server, frozen at an instant. The backup_label is gone by then.
func (o *origin) atOneInstant() bool { return o != nil && !o.from.IsBase() }

// ref is the reference that keeps a fork's checkpoint until its own layer lies
// over it.
func (s *Session) ref() string { return "fork-" + s.id }

// Fork makes another session over the same disk: it shares the backup and all
// layers up to a checkpoint, and writes to a layer of its own. Nothing is
// copied. The fork is as New returns it: it has to be started, and closed; it
// outlives the session that it came from if that is closed first.
//
// It is opened as the session was, but for what ForkOptions say: with the same
// server, limits and times, on other ports.
func (s *Session) Fork(ctx context.Context, o ForkOptions) (*Session, error) {
	p, state := s.get()
	if state != Ready || p.disk == nil || p.laidOut == nil {
		return nil, ErrNotReady
	}
	d := p.laidOut
	if err := d.use(); err != nil {
		return nil, ErrNotReady
	}
	fork, err := s.newFork(ctx, d, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("forking session %s: %w", s.id, err), d.release())
	}
	return fork, nil
}

// newFork makes a fork, of which d.release is the caller's until it is made.
func (s *Session) newFork(ctx context.Context, d *sharedDisk, o ForkOptions) (*Session, error) {
	var from cow.LayerID
	var err error
	if o.From != nil {
		from = *o.From
		err = checkSealed(d.store.Store, from)
	} else {
		from, err = s.Checkpoint(ctx, "")
	}
	if err != nil {
		return nil, err
	}
	p, _ := s.get()
	opts := s.opts
	opts.Name, opts.Writable = o.Name, o.Writable
	opts.NBDListen, opts.PSQLListen = anyPort(opts.NBDListen), anyPort(opts.PSQLListen)
	fork, err := newSession(opts, Record{
		Parent: s.id, Store: d.store.name(), Kind: string(d.snapshot.Kind), Version: fmt.Sprint(d.snapshot.Identity.PGVersion),
	})
	if err != nil {
		return nil, err
	}
	fork.origin = &origin{parent: s.id, from: from, plan: p.plan}
	if !from.IsBase() {
		if err := d.store.SetRef(fork.ref(), from); err != nil {
			down, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownTime)
			defer cancel()
			return nil, errors.Join(err, fork.Close(down))
		}
	}
	fork.useDisk(d)
	fork.undo.add("let go of the checkpoint", func(context.Context) error {
		return d.store.SetRef(fork.ref(), cow.LayerID{})
	})
	return fork, nil
}

// checkSealed refuses what is no checkpoint of the store.
func checkSealed(store *cow.Store, id cow.LayerID) error {
	if id.IsBase() {
		return nil
	}
	layers, err := store.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		switch {
		case l.ID != id:
		case l.Damage != "":
			return fmt.Errorf("layer %s: %w: %s", id, cow.ErrDamaged, l.Damage)
		case !l.Sealed:
			return fmt.Errorf("layer %s is %w: it is being written; make a checkpoint first", id, cow.ErrNotSealed)
		default:
			return nil
		}
	}
	return fmt.Errorf("checkpoint %s: %w", id, cow.ErrNotFound)
}

// anyPort is a listening address with any free port in place of the given one.
func anyPort(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort(host, "0")
}

// identifyFork takes over what is known of the backup.
func (s *Session) identifyFork(context.Context) error {
	s.with(func(p *parts) { p.plan = s.origin.plan })
	s.events.add(Event{Kind: Progress, Phase: Identify, Message: fmt.Sprintf("a fork of session %s at %s", s.origin.parent, s.origin.from)})
	return nil
}

// layOutFork puts a layer of the fork's own over its checkpoint.
func (s *Session) layOutFork(ctx context.Context) error {
	p, _ := s.get()
	device, err := s.openTop(p.laidOut, s.origin.from)
	if err != nil {
		return err
	}
	// The layer above keeps the checkpoint from now on.
	if err := p.laidOut.store.SetRef(s.ref(), cow.LayerID{}); err != nil {
		return err
	}
	if err := s.export(ctx, device); err != nil {
		return err
	}
	p, _ = s.get()
	return s.ledger.update(func(r *Record) { r.NBD = p.nbdAddr })
}
