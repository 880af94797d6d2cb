package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/block"
	"github.com/snapview/snapview/cow"
	"github.com/snapview/snapview/ext4"
	"github.com/snapview/snapview/nbdserver"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/snapshot"
	"github.com/snapview/snapview/snapshot/sources"
)

// Read-ahead of the block device, in bytes. While the session opens, the server
// reads a page here and a page there, and every byte more is a byte more from
// a backup that may be far away. Once it is ready, tables are read from end to
// end, and each request costs a way through the kernel, FUSE and back: with
// 960 KiB instead of 128 a chunk of a parallel scan takes half the requests. The
// kernel's window grows only while reading is sequential, so that the first
// query reads no byte more. It stays below the 1 MiB of a FUSE request: with
// 2 MiB a scan took four times the processor time (docs/benchmarks.md).
const (
	openingReadAhead = 8 << 10
	readyReadAhead   = 960 << 10
)

// teardownTime is how long giving back may take after a failed start.
const teardownTime = 60 * time.Second

// Start opens the session: it returns nil when the session is ready, or the
// reason why it failed after everything was given back. It is called once.
// Cancelling the context, or Close, ends it early.
func (s *Session) Start(ctx context.Context) error {
	s.mu.Lock()
	if s.began {
		s.mu.Unlock()
		return errors.New("session: started twice")
	}
	s.began = true
	s.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	err := s.start(ctx)
	stop()
	cancel()
	if err == nil && s.life.Err() != nil {
		err = fmt.Errorf("closed while it opened: %w", context.Canceled)
	}
	if err == nil {
		s.mu.Lock()
		s.ready = time.Now()
		s.used = s.ready
		s.mu.Unlock()
		s.setState(Ready, nil)
		s.watch()
		close(s.started)
		return nil
	}

	s.mu.Lock()
	s.failure = err
	s.mu.Unlock()
	s.setState(Closing, err)
	close(s.started)
	s.closing()
	down, cancelDown := context.WithTimeout(context.Background(), teardownTime)
	defer cancelDown()
	return errors.Join(err, s.tearDown(down))
}

func (s *Session) start(ctx context.Context) error {
	identify, layOut := s.identify, s.layOut
	if s.origin != nil {
		identify, layOut = s.identifyFork, s.layOutFork
	}
	if err := s.phase(ctx, Identify, identify); err != nil {
		return err
	}
	if err := s.phase(ctx, LayOut, layOut); err != nil {
		return err
	}
	if s.opts.DeviceOnly {
		return nil
	}
	if err := s.phase(ctx, AttachIt, s.attach); err != nil {
		return err
	}
	return s.phase(ctx, Recover, s.recover)
}

// phase runs one part of opening and tells when it begins and ends.
func (s *Session) phase(ctx context.Context, p Phase, run func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	s.events.add(Event{Kind: PhaseBegan, Phase: p, At: began})
	if err := run(ctx); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	s.events.add(Event{Kind: PhaseEnded, Phase: p, Took: time.Since(began)})
	return nil
}

// identify opens the snapshot, decides how it may be opened, and who runs it.
func (s *Session) identify(ctx context.Context) error {
	opts := s.opts.Snapshot
	opts.Progress = func(p snapshot.Progress) {
		s.events.add(Event{Kind: Progress, Phase: Identify, Message: "reading " + p.Object, Done: p.Done, Total: p.Total})
	}
	opts.Notice = func(message string) {
		s.log.Warn(message)
		s.events.add(Event{Kind: Notice, Message: message})
	}
	snap, err := sources.Open(ctx, s.opts.Ref, opts)
	if err != nil {
		return err
	}
	// Once it is laid out it is the disk's to close.
	s.undo.add("close the backup", func(context.Context) error {
		if p, _ := s.get(); p.laidOut != nil {
			return nil
		}
		return snap.Close()
	})
	s.with(func(p *parts) { p.snapshot = snap })
	if err := s.ledger.update(func(r *Record) { r.Kind, r.Version = string(snap.Kind), strconv.Itoa(snap.Identity.PGVersion) }); err != nil {
		return err
	}
	if s.opts.DeviceOnly {
		return nil
	}
	if err := snap.Err(); err != nil {
		return err
	}
	plan, err := pgrunner.Choose(ctx, s.serverConfig())
	if err != nil {
		return err
	}
	s.with(func(p *parts) { p.plan = plan })
	s.events.add(Event{Kind: Progress, Phase: Identify, Message: fmt.Sprintf("PostgreSQL %s, %s: %s", plan.Version, plan.Runner, plan.Why)})
	return nil
}

// layOut makes the device: the base, the overlay over it, and its NBD export.
func (s *Session) layOut(ctx context.Context) error {
	p, _ := s.get()
	opts := ext4.Options{Label: "snapview"}
	if p.plan != nil {
		opts.UID, opts.GID = uint32(p.plan.UID), uint32(p.plan.GID)
	}
	d, err := newDisk(p.snapshot, opts)
	if err != nil {
		return err
	}
	s.useDisk(d)
	if s.opts.ReadOnly {
		return s.export(ctx, d.base)
	}
	if err := s.createStore(d); err != nil {
		return err
	}
	device, err := s.openTop(d, cow.LayerID{})
	if err != nil {
		return err
	}
	return s.export(ctx, device)
}

// export serves the device by NBD on the socket in the session's folder, and
// on TCP where that was asked for.
func (s *Session) export(ctx context.Context, device block.Reader) error {
	server, err := nbdserver.New(nbdserver.Options{Logger: s.log})
	if err != nil {
		return err
	}
	if err := server.AddExport(nbdserver.Export{
		Name:        s.id,
		Description: "snapview: " + sources.Redact(s.opts.Ref),
		Device:      device,
		ReadOnly:    s.opts.ReadOnly,
	}); err != nil {
		return err
	}
	listeners := []net.Listener{}
	s.undo.add("stop the NBD server", func(ctx context.Context) error {
		// A request that waits at the device ends when that is closed, next.
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return errors.Join(err, server.Close(), closeListeners(listeners))
		}
		return errors.Join(server.Close(), closeListeners(listeners))
	})
	var lc net.ListenConfig
	unix, err := lc.Listen(ctx, "unix", filepath.Join(s.ledger.dir, nbdSocket))
	if err != nil {
		return fmt.Errorf("listening for NBD clients: %w", err)
	}
	listeners = append(listeners, unix)
	if err := os.Chmod(filepath.Join(s.ledger.dir, nbdSocket), 0o600); err != nil {
		return fmt.Errorf("listening for NBD clients: %w", err)
	}
	var address string
	if s.opts.NBDListen != "" {
		tcp, err := listenLoopback(ctx, s.opts.NBDListen)
		if err != nil {
			return fmt.Errorf("listening for NBD clients on %s: %w", s.opts.NBDListen, err)
		}
		listeners = append(listeners, tcp)
		address = tcp.Addr().String()
	}
	for _, l := range listeners {
		go func() {
			if err := server.Serve(l); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, nbdserver.ErrServerClosed) {
				s.notice(fmt.Sprintf("the NBD server on %s stopped: %v", l.Addr(), err))
			}
		}()
	}
	s.with(func(p *parts) { p.nbd, p.nbdAddr = server, address })
	return nil
}

func closeListeners(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// listenLoopback refuses addresses that other machines can reach: neither NBD
// nor the wire protocol of PostgreSQL is encrypted here.
func listenLoopback(ctx context.Context, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is no loopback address: tunnel it (ssh -L) to reach it from elsewhere", host)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
}

// attach gives the kernel the device and mounts it.
func (s *Session) attach(ctx context.Context) error {
	p, _ := s.get()
	disk, err := attach.Attach(ctx, attach.Config{
		Dir:            filepath.Join(s.ledger.dir, attachDir),
		Device:         p.device,
		Method:         s.opts.Attach,
		NBDSocket:      filepath.Join(s.ledger.dir, nbdSocket),
		NBDExport:      s.id,
		ReadAheadBytes: openingReadAhead,
		Record:         s.ledger.recordAttachment,
		Logger:         s.log,
	})
	if err != nil {
		return err
	}
	s.undo.addCritical("unmount", func(ctx context.Context) error {
		letGo(p.overlay)
		return disk.Detach(ctx)
	})
	s.with(func(p *parts) { p.disk = disk })
	s.events.add(Event{Kind: Progress, Phase: AttachIt, Message: fmt.Sprintf("/dev/%s by %s", disk.DeviceName(), disk.Method())})
	return nil
}

// letGo ends the holding of writes. What is written on the way down is thrown
// away a moment later: it may go over the limit, and must not wait for room.
func letGo(overlay *cow.Overlay) {
	overlay.SetLimit(0)
	overlay.FailWhenFull()
}

// recover starts PostgreSQL and waits until it answers.
func (s *Session) recover(ctx context.Context) error {
	p, _ := s.get()
	server, err := pgrunner.Start(ctx, p.plan, s.serverConfig())
	if err != nil {
		return err
	}
	s.undo.addCritical("stop PostgreSQL", func(ctx context.Context) error {
		letGo(p.overlay)
		return server.Stop(ctx)
	})
	s.with(func(p *parts) { p.server = server })
	if err := s.letClientsIn(server); err != nil {
		return err
	}
	if err := p.disk.SetReadAhead(readyReadAhead); err != nil {
		s.notice(fmt.Sprintf("read-ahead stays small: %v", err))
	}
	return nil
}

// serverConfig is what the server is started with.
func (s *Session) serverConfig() pgrunner.Config {
	p, _ := s.get()
	id := p.snapshot.Identity
	cfg := pgrunner.Config{
		Runner:          s.opts.Runner,
		Image:           s.opts.Image,
		Major:           id.PGVersion,
		SessionID:       s.id,
		Writable:        s.opts.Writable,
		HidePasswords:   s.opts.HidePasswords,
		MemoryBytes:     s.opts.Memory,
		CrashConsistent: s.opts.Snapshot.AssumeCrashConsistent || p.snapshot.CrashConsistent || s.origin.atOneInstant(),
		Limits: pgrunner.Limits{
			MaxConnections:     id.Limits.MaxConnections,
			MaxWorkerProcesses: id.Limits.MaxWorkerProcesses,
			MaxWALSenders:      id.Limits.MaxWALSenders,
			MaxPreparedXacts:   id.Limits.MaxPreparedXacts,
			MaxLocksPerXact:    id.Limits.MaxLocksPerXact,
		},
		RunDir:   filepath.Join(s.ledger.dir, runDir),
		CacheDir: filepath.Join(s.opts.StateDir, "cache"),
		Record:   s.ledger.recordServer,
		Events: func(e pgrunner.Event) {
			phase := Recover
			if e.Phase == "choose" || e.Phase == "pull" {
				phase = Identify
			}
			s.events.add(Event{Kind: Progress, Phase: phase, Message: e.Message, Done: e.Done, Total: e.Total})
		},
	}
	if p.disk != nil {
		cfg.Root = p.disk.MountPoint()
	}
	return cfg
}

// onHold tells when writes are held, and when they go on.
func (s *Session) onHold(h cow.Hold) {
	var message string
	switch h.Reason {
	case cow.HoldNone:
		message = "writes go on"
	case cow.HoldQuota:
		message = fmt.Sprintf("writes are held: the overlay has reached its limit of %d bytes; raise it (snapview limit), or close the session", h.Limit)
	case cow.HoldTotal:
		message = fmt.Sprintf("writes are held: the overlays of all sessions together have reached their limit of %d bytes; close a session or discard layers, of this one or another", h.Limit)
	case cow.HoldDiskFull:
		message = fmt.Sprintf("writes are held: the host's disk has %d bytes left of the %d to be kept free; make room, or close the session", h.Free, h.Headroom)
	}
	s.log.Warn(message, "reason", h.Reason, "writers", h.Writers)
	s.events.add(Event{Kind: Held, Held: h.Reason != cow.HoldNone, Message: message})
}
