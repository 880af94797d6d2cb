package pgrunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Choose decides what runs the server, pulling the image where it has to. It
// reads nothing of the data directory and may thus run while that is laid out.
func Choose(ctx context.Context, c Config) (*Plan, error) {
	kind, err := ParseKind(string(c.Runner))
	if err != nil {
		return nil, err
	}
	if c.Major < MinMajor || c.Major > MaxMajor {
		return nil, fmt.Errorf("%w: PostgreSQL %d is not supported, %d to %d are", ErrNoRunner, c.Major, MinMajor, MaxMajor)
	}
	if c.Image == "" {
		c.Image = "postgres:" + strconv.Itoa(c.Major)
	}
	switch kind {
	case Local:
		p, err := findLocal(ctx, c.Major)
		if err != nil {
			return nil, err
		}
		p.Why = "it was asked for"
		return p, nil
	case Docker:
		p, err := findDocker(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("runner docker: %w", err)
		}
		p.Why = "it was asked for"
		return p, nil
	}
	p, dockerErr := findDocker(ctx, c)
	if dockerErr == nil {
		p.Why = "the Docker engine answers and has " + c.Image
		return p, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	p, localErr := findLocal(ctx, c.Major)
	if localErr == nil {
		p.Why = "PostgreSQL " + p.Version + " is installed here; Docker: " + firstLine(dockerErr)
		return p, nil
	}
	return nil, errors.Join(localErr, fmt.Errorf("%w: Docker: %w", ErrNoRunner, dockerErr))
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

var sessionName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// maxSocketPath is the longest path of a unix socket (sun_path, with its zero).
const maxSocketPath = 107

// complete returns c with its defaults, or says what is wrong with it.
func (c Config) complete() (Config, error) {
	if c.DataDir == "" {
		c.DataDir = "data"
	}
	if c.TablespaceDir == "" {
		c.TablespaceDir = "tablespaces"
	}
	for _, d := range []string{c.DataDir, c.TablespaceDir} {
		if !filepath.IsLocal(d) || strings.ContainsAny(d, " \t\n'\"\\$") {
			return c, fmt.Errorf("directory %q must lie below the root, with a plain name", d)
		}
	}
	if !filepath.IsAbs(c.Root) || !filepath.IsAbs(c.RunDir) {
		return c, fmt.Errorf("root %q and run directory %q must be absolute paths", c.Root, c.RunDir)
	}
	if c.SessionID == "" {
		c.SessionID = "unnamed"
	}
	if !sessionName.MatchString(c.SessionID) {
		return c, fmt.Errorf("session id %q: use letters, digits and '-'", c.SessionID)
	}
	if p := c.socketPath(); len(p) > maxSocketPath {
		return c, fmt.Errorf("the socket's path %s has %d bytes, the system allows %d: use a shorter run directory",
			p, len(p), maxSocketPath)
	}
	if c.MemoryBytes == 0 {
		c.MemoryBytes = DefaultMemory()
	}
	if c.ShmBytes == 0 {
		c.ShmBytes = 256 << 20
	}
	if c.PIDs == 0 {
		c.PIDs = 256
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 10 * time.Minute
	}
	if c.Record == nil {
		c.Record = func(Resource) error { return nil }
	}
	if c.Events == nil {
		c.Events = func(Event) {}
	}
	return c, nil
}

// DefaultMemory is Config.MemoryBytes where nobody says it: half the host's
// memory, but 1 GiB at least and 4 GiB at most.
func DefaultMemory() int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	var kib int64
	_, _ = fmt.Sscanf(string(b), "MemTotal: %d kB", &kib)
	return min(max(kib<<10/2, 1<<30), 4<<30)
}
