package pgrunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// Foresee returns what Choose would, for people who want to know before, and
// pulls no image: the ImageID of one that is not there yet is empty.
func Foresee(ctx context.Context, c Config) (*Plan, error) {
	c.foresee = true
	return Choose(ctx, c)
}

// extensionName is what an extension may be called for its control file to be
// looked for.
var extensionName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)

// extensionDirs are where a server of a major version may keep the control
// files of extensions, by habit of packages and of builds from source.
func extensionDirs(major string, bin string) []string {
	dirs := []string{
		"/usr/share/postgresql/" + major + "/extension",
		"/usr/pgsql-" + major + "/share/extension",
		"/usr/share/postgresql" + major + "/extension",
		"/usr/local/share/postgresql/extension",
		"/usr/share/postgresql/extension",
	}
	if bin != "" {
		dirs = append([]string{path.Join(bin, "../share/extension"), path.Join(bin, "../share/postgresql/extension")}, dirs...)
	}
	return dirs
}

// LacksExtensions returns those of the extensions whose control files the server
// of the plan does not have. known is false where that cannot be told: the image
// is not there yet, or keeps them elsewhere.
func (p *Plan) LacksExtensions(ctx context.Context, major int, names []string) (missing []string, known bool, err error) {
	dirs := extensionDirs(strconv.Itoa(major), p.BinDir)
	exists := func(name string) (bool, error) {
		_, err := os.Stat(name)
		return err == nil, nil
	}
	if p.Runner == Docker {
		if p.ImageID == "" {
			return nil, false, nil
		}
		inImage, release, lookErr := lookIntoImage(ctx, p)
		if lookErr != nil {
			return nil, false, lookErr
		}
		defer func() { err = errors.Join(err, release()) }()
		exists = inImage
	}
	for _, dir := range dirs {
		// Every server has this one.
		if there, err := exists(path.Join(dir, "plpgsql.control")); err != nil {
			return nil, false, err
		} else if !there {
			continue
		}
		for _, name := range names {
			there, err := exists(path.Join(dir, name+".control"))
			if err != nil {
				return nil, false, err
			}
			if !there || !extensionName.MatchString(name) {
				missing = append(missing, name)
			}
		}
		return missing, true, nil
	}
	return nil, false, nil
}

// lookIntoImage returns what says whether a file is in the plan's image. The
// engine shows files of containers only, so one is made, and never started.
func lookIntoImage(ctx context.Context, p *Plan) (exists func(string) (bool, error), release func() error, err error) {
	cl, err := dockerClient(p.Engine)
	if err != nil {
		return nil, nil, err
	}
	made, err := cl.ContainerCreate(ctx, &container.Config{
		Image: p.ImageID, Cmd: []string{"true"}, Labels: map[string]string{labelSession: "unnamed"},
	}, &container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		return nil, nil, errors.Join(err, cl.Close())
	}
	release = func() error { return errors.Join(removeMade(ctx, cl, made.ID), cl.Close()) }
	return func(name string) (bool, error) {
		_, err := cl.ContainerStatPath(ctx, made.ID, name)
		if errdefs.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	}, release, nil
}

// removeMade removes a container that was made and not started.
func removeMade(ctx context.Context, cl *client.Client, id string) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return cl.ContainerRemove(clean, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
}

// PageSize asks a local server for the size of the pages that it was built for,
// bytes; 0 for one in an image, which is not asked.
func (p *Plan) PageSize(ctx context.Context) (int, error) {
	if p.Runner != Local {
		return 0, nil
	}
	empty, err := os.MkdirTemp("", "snapview-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(empty)
	out, err := exec.CommandContext(ctx, filepath.Join(p.BinDir, "postgres"), "-C", "block_size", "-c", "config_file=/dev/null", "-D", empty).Output()
	if err != nil {
		return 0, fmt.Errorf("asking %s for its block_size: %w", p.BinDir, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// Libc returns the version of the C library by which a local server sorts text
// in locales of libc, as PostgreSQL names it; empty where it is not known.
func (p *Plan) Libc(ctx context.Context) string {
	if p.Runner != Local {
		return ""
	}
	out, err := exec.CommandContext(ctx, "getconf", "GNU_LIBC_VERSION").Output()
	if err != nil {
		return "" // another C library, which PostgreSQL asks for no version
	}
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "glibc ")
	if !ok {
		return ""
	}
	return version
}
