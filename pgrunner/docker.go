package pgrunner

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// labelSession marks what belongs to a session of snapview, for people and for
// Reclaim, which removes no container without it.
const labelSession = "io.snapview.session"

// dockerClient returns a client of the engine at host; "" asks the environment.
func dockerClient(host string) (*client.Client, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	cl, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("the engine's address: %w", err)
	}
	return cl, nil
}

// findDocker returns the plan of a container, having got the image.
func findDocker(ctx context.Context, c Config) (*Plan, error) {
	cl, err := dockerClient(c.DockerHost)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	asked, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := cl.Ping(asked); err != nil {
		return nil, fmt.Errorf("%w: the engine at %s does not answer: %w", ErrNoRunner, cl.DaemonHost(), err)
	}
	img, err := cl.ImageInspect(ctx, c.Image)
	if errdefs.IsNotFound(err) && c.foresee {
		return &Plan{Runner: Docker, Image: c.Image, Engine: cl.DaemonHost(), Version: strconv.Itoa(c.Major)}, nil
	}
	if errdefs.IsNotFound(err) {
		if err := pull(ctx, cl, c); err != nil {
			return nil, err
		}
		img, err = cl.ImageInspect(ctx, c.Image)
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", c.Image, err)
	}
	p := &Plan{Runner: Docker, Image: c.Image, ImageID: img.ID, Engine: cl.DaemonHost(), Version: strconv.Itoa(c.Major)}
	if img.Config != nil {
		for _, kv := range img.Config.Env {
			switch name, value, _ := strings.Cut(kv, "="); name {
			case "PG_MAJOR":
				if value != strconv.Itoa(c.Major) {
					return nil, fmt.Errorf("%w: image %s has PostgreSQL %s, this backup needs %d", ErrNoRunner, c.Image, value, c.Major)
				}
			case "PG_VERSION": // "17.2-1.pgdg120+1" in the official image
				p.Version, _, _ = strings.Cut(value, "-")
			}
		}
	}
	if c.foresee {
		return p, nil
	}
	p.UID, p.GID, err = cachedImageUser(ctx, cl, c, img.ID)
	if err != nil {
		return nil, fmt.Errorf("user of image %s: %w", c.Image, err)
	}
	return p, nil
}

// pull gets the image, with progress added up over its layers.
func pull(ctx context.Context, cl *client.Client, c Config) error {
	events := c.Events
	if events == nil {
		events = func(Event) {}
	}
	events(Event{Phase: "pull", Message: "pulling " + c.Image})
	r, err := cl.ImagePull(ctx, c.Image, image.PullOptions{})
	if err != nil {
		return fmt.Errorf("%w: pull %s: %w", ErrNoRunner, c.Image, err)
	}
	defer r.Close()
	type progress struct{ Current, Total int64 }
	layers := map[string]progress{}
	var shown time.Time
	for d := json.NewDecoder(r); ; {
		var m struct {
			ID, Status, Error string
			ProgressDetail    progress
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: pull %s: %w", ErrNoRunner, c.Image, err)
		}
		if m.Error != "" {
			return fmt.Errorf("%w: pull %s: %s", ErrNoRunner, c.Image, m.Error)
		}
		if m.Status != "Downloading" || m.ProgressDetail.Total == 0 {
			continue
		}
		layers[m.ID] = m.ProgressDetail
		if time.Since(shown) < 200*time.Millisecond {
			continue
		}
		shown = time.Now()
		e := Event{Phase: "pull", Message: "pulling " + c.Image}
		for _, l := range layers {
			e.Done += l.Current
			e.Total += l.Total
		}
		events(e)
	}
}

// maxPasswd bounds what is read of an image's /etc/passwd.
const maxPasswd = 1 << 20

// cachedImageUser is imageUser, looked up in Config.CacheDir first. An image's
// id is the hash of its contents, so what is remembered cannot become wrong.
func cachedImageUser(ctx context.Context, cl *client.Client, c Config, imageID string) (uid, gid int, err error) {
	if c.CacheDir == "" {
		return imageUser(ctx, cl, c, imageID)
	}
	path := filepath.Join(c.CacheDir, "image-"+strings.ReplaceAll(imageID, ":", "-")+".passwd")
	if b, err := os.ReadFile(path); err == nil {
		if uid, gid, err := parsePasswd(string(b), userName); err == nil {
			return uid, gid, nil
		}
	}
	if uid, gid, err = imageUser(ctx, cl, c, imageID); err != nil {
		return 0, 0, err
	}
	// Not remembered is not wrong: the next time asks again.
	if os.MkdirAll(c.CacheDir, 0o700) == nil {
		_ = os.WriteFile(path, fmt.Appendf(nil, "%s:x:%d:%d\n", userName, uid, gid), 0o600)
	}
	return uid, gid, nil
}

// imageUser returns the image's user postgres. The engine shows files of
// containers only, so one is made, and never started.
func imageUser(ctx context.Context, cl *client.Client, c Config, imageID string) (uid, gid int, err error) {
	made, err := cl.ContainerCreate(ctx, &container.Config{
		Image: imageID, Cmd: []string{"true"}, Labels: map[string]string{labelSession: c.SessionID},
	}, &container.HostConfig{NetworkMode: "none"}, nil, nil, "")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, removeMade(ctx, cl, made.ID)) }()
	r, _, err := cl.CopyFromContainer(ctx, made.ID, "/etc/passwd")
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	t := tar.NewReader(r)
	if _, err := t.Next(); err != nil {
		return 0, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(t, maxPasswd))
	if err != nil {
		return 0, 0, err
	}
	return parsePasswd(string(b), userName)
}

// parsePasswd finds a user in a file in the format of passwd(5).
func parsePasswd(passwd, name string) (uid, gid int, err error) {
	for line := range strings.Lines(passwd) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		uid, uerr := strconv.ParseUint(f[2], 10, 31)
		gid, gerr := strconv.ParseUint(f[3], 10, 31)
		if uerr != nil || gerr != nil || uid == 0 || gid == 0 {
			return 0, 0, fmt.Errorf("user %s has uid %q and gid %q: PostgreSQL refuses to run as root", name, f[2], f[3])
		}
		return int(uid), int(gid), nil
	}
	return 0, 0, fmt.Errorf("it has no user %q: is it an image of PostgreSQL?", name)
}
