package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/docker/docker/client"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/attach"
	"github.com/snapview/snapview/pgrunner"
	"github.com/snapview/snapview/session"
)

// A check is one thing that this host has or lacks.
type check struct {
	Name   string `json:"check"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // without it nothing opens
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "What this host has for snapview, what it lacks and how to get it",
		Long: `Looks at everything that opening a backup needs from this host, changes
nothing, and says how to get what is missing. Exits 5 when nothing can be opened.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			checks := a.diagnose(c.Context())
			var lacking []string
			for _, k := range checks {
				if !k.OK && k.Needed {
					lacking = append(lacking, k.Name)
				}
				if err := a.printCheck(k); err != nil {
					return err
				}
			}
			if len(lacking) > 0 {
				return fmt.Errorf("%w: %s", attach.ErrUnsupported, strings.Join(lacking, ", "))
			}
			if !a.json {
				fmt.Fprintln(a.out, "\nbackups can be opened here")
			}
			return nil
		},
	}
}

func (a *app) printCheck(k check) error {
	if a.json {
		return printJSON(a.out, k)
	}
	mark := "ok  "
	switch {
	case !k.OK && k.Needed:
		mark = "FAIL"
	case !k.OK:
		mark = "-   "
	}
	fmt.Fprintf(a.out, "%s  %-14s %s\n", mark, k.Name, k.Detail)
	if !k.OK && k.Remedy != "" {
		fmt.Fprintf(a.out, "      %-14s -> %s\n", "", k.Remedy)
	}
	return nil
}

// diagnose runs every check.
func (a *app) diagnose(ctx context.Context) []check {
	var checks []check
	for _, c := range attach.CheckHost() {
		checks = append(checks, check{c.Name, c.OK, c.Needed, c.Detail, c.Remedy})
	}
	docker := checkDocker(ctx)
	local := checkLocal(ctx)
	// One of the two is enough.
	docker.Needed, local.Needed = !local.OK, !docker.OK
	return append(checks, docker, local, a.checkState(), a.checkLeftovers())
}

// checkDocker asks the engine for its version.
func checkDocker(ctx context.Context) check {
	k := check{Name: "docker", Remedy: "apt-get install docker.io, or use the local runner"}
	engine, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		k.Detail = err.Error()
		return k
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	v, err := engine.ServerVersion(ctx)
	if err != nil {
		k.Detail = "no engine answers at " + engine.DaemonHost()
		return k
	}
	k.OK, k.Detail = true, "engine "+v.Version+" at "+engine.DaemonHost()
	return k
}

// checkLocal looks for installed PostgreSQL binaries.
func checkLocal(ctx context.Context) check {
	k := check{Name: "postgresql", Remedy: "apt-get install postgresql (the backup's major version), or use Docker"}
	var found []string
	for major := pgrunner.MinMajor; major <= pgrunner.MaxMajor; major++ {
		plan, err := pgrunner.Choose(ctx, pgrunner.Config{Runner: pgrunner.Local, Major: major})
		if err == nil {
			found = append(found, plan.Version)
		}
	}
	if len(found) == 0 {
		k.Detail = "no PostgreSQL is installed here"
		return k
	}
	k.OK, k.Detail = true, "local binaries: "+strings.Join(found, ", ")
	return k
}

// minFree is what the state directory should have left, in bytes, to be of use.
const minFree = 1 << 30

// checkState looks at the disk that overlays go to.
func (a *app) checkState() check {
	dir := a.stateRoot()
	k := check{Name: "state", Needed: false, Remedy: "make room, or choose another disk with --state-dir"}
	// The directory is made when it is first needed.
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == "/" {
			break
		}
		at = filepath.Dir(at)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil {
		k.Detail = fmt.Sprintf("%s: %v", dir, err)
		return k
	}
	free := int64(fs.Bavail) * fs.Bsize
	k.OK, k.Detail = free >= minFree, fmt.Sprintf("%s, %s free for overlays", dir, size(free))
	return k
}

// checkLeftovers looks for sessions whose process died.
func (a *app) checkLeftovers() check {
	k := check{Name: "leftovers", Remedy: "snapview gc"}
	all, err := session.List(a.stateRoot())
	if err != nil {
		k.Detail = err.Error()
		return k
	}
	dead := 0
	for _, f := range all {
		if !f.Alive {
			dead++
		}
	}
	k.OK, k.Detail = dead == 0, fmt.Sprintf("%d sessions open, %d left behind by processes that died", len(all)-dead, dead)
	return k
}
