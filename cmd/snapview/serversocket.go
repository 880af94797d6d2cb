package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/session"
)

// A snapview serve answers commands that are about no session on a control
// socket of its own, so that it can be asked before it has one. The sockets lie
// in one folder of the state directory and are named after the port of the page,
// which is what people know of a server.
const serverSocket = ".sock"

func (a *app) serversDir() string { return filepath.Join(a.stateRoot(), "servers") }

// listenAsServer makes the control socket of the server whose page listens on
// that port, which goes with its listener. Those that others left behind who were
// killed go now.
func (a *app) listenAsServer(port string) (net.Listener, error) {
	if err := os.MkdirAll(a.stateRoot(), 0o711); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	if err := os.MkdirAll(a.serversDir(), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the servers' control sockets: %w", err)
	}
	unlock, err := a.lockServers()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := a.removeDeadServers(); err != nil {
		return nil, err
	}
	// The port alone is not always one server's: it may be taken on another
	// address, or in another network namespace.
	name := port
	for n := 2; ; n++ {
		path := filepath.Join(a.serversDir(), name+serverSocket)
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			l, err := ownSocket.Listen(context.Background(), "unix", path)
			if err != nil {
				return nil, fmt.Errorf("listening on the server's control socket: %w", err)
			}
			return l, nil
		}
		name = fmt.Sprintf("%s-%d", port, n)
	}
}

// reclaimServers removes the control sockets of servers that were killed.
func (a *app) reclaimServers() error {
	unlock, err := a.lockServers()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return a.removeDeadServers()
}

// removeDeadServers does it under the folder's lock. Without that a socket might
// go on which somebody is about to listen.
func (a *app) removeDeadServers() error {
	names, err := a.serverNames()
	var errs []error
	for _, name := range names {
		if a.serverAnswers(name) {
			continue
		}
		if err := os.Remove(filepath.Join(a.serversDir(), name+serverSocket)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("removing the control socket of a server that was killed: %w", err))
		}
	}
	return errors.Join(append(errs, err)...)
}

// lockServers keeps others from adding and removing sockets until it is undone.
func (a *app) lockServers() (unlock func(), err error) {
	dir, err := os.Open(a.serversDir())
	if err != nil {
		return nil, err
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir.Name(), err), dir.Close())
	}
	return func() { dir.Close() }, nil
}

// serverNames are the names of the sockets that there are.
func (a *app) serverNames() ([]string, error) {
	entries, err := os.ReadDir(a.serversDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listing servers: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), serverSocket); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// serverAnswers says whether somebody listens on a server's socket. Of those
// that the caller may not open it is assumed.
func (a *app) serverAnswers(name string) bool {
	c, err := net.Dial("unix", filepath.Join(a.serversDir(), name+serverSocket))
	if err == nil {
		c.Close()
	}
	return !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, os.ErrNotExist)
}

// servers are the names of those that run.
func (a *app) servers() ([]string, error) {
	names, err := a.serverNames()
	var alive []string
	for _, name := range names {
		if a.serverAnswers(name) {
			alive = append(alive, name)
		}
	}
	return alive, err
}

// dialLinker finds who makes the link that is asked for: the server of that
// port, the session of that id, and when none is given the only session, or
// where nothing is open the only server.
func (a *app) dialLinker(id string) (*control, error) {
	servers, err := a.servers()
	if err != nil {
		return nil, err
	}
	for _, name := range servers {
		if name == id {
			return a.serverAt(name), nil
		}
	}
	api, err := a.dial(id)
	if err == nil || len(servers) == 0 || id != "" {
		return api, err
	}
	open, listErr := session.List(a.stateRoot())
	if listErr != nil {
		return nil, listErr
	}
	for _, found := range open {
		if found.Alive {
			return nil, fmt.Errorf("%w; or the first page of a server: %s", err, strings.Join(servers, ", "))
		}
	}
	if len(servers) > 1 {
		return nil, fmt.Errorf("%w: nothing is open, and several servers run, say which: %s", session.ErrNoSession, strings.Join(servers, ", "))
	}
	return a.serverAt(servers[0]), nil
}

// serverAt speaks to the server of that name.
func (a *app) serverAt(name string) *control {
	return &control{id: name, base: "/api/v1", name: "server " + name, http: clientOf(filepath.Join(a.serversDir(), name+serverSocket))}
}

// controlServer serves the API on the server's own control socket until the pages
// are closed.
func (p *pages) controlServer(a *app) error {
	_, port, err := net.SplitHostPort(p.page.Addr().String())
	if err != nil {
		return err
	}
	l, err := a.listenAsServer(port)
	if err != nil {
		return err
	}
	go p.server.ServeControl(l) //nolint:errcheck // it ends with close
	return nil
}
