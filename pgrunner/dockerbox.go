package pgrunner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-units"
)

// dockerBox is a box that is a container.
type dockerBox struct {
	cl      *client.Client
	name    string
	stdin   *types.HijackedResponse
	process int
	ended   chan struct{}
	how     string // once ended is closed
	unwatch context.CancelFunc
}

// containerConfig describes the container of a session.
func containerConfig(c Config, p *Plan) (*container.Config, *container.HostConfig) {
	bind := func(source, target string) mount.Mount {
		return mount.Mount{
			Type: mount.TypeBind, Source: source, Target: target,
			// Of Root, exactly this mount and nothing below or after it: a
			// copy of another of our mounts would outlive its unmounting.
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate, NonRecursive: true},
		}
	}
	init := false
	pids := c.PIDs
	return &container.Config{
			Image:      p.ImageID,
			User:       strconv.Itoa(p.UID) + ":" + strconv.Itoa(p.GID),
			Entrypoint: []string{"/bin/sh", "-c", initScript},
			Cmd:        []string{},
			Env:        environment(c, "/usr/lib/postgresql/"+strconv.Itoa(c.Major)+"/bin"),
			WorkingDir: "/",
			Hostname:   "snapview",
			Labels:     map[string]string{labelSession: c.SessionID},
			// Closed with our end: a shell that waits for orders then ends.
			AttachStdin: true, OpenStdin: true, StdinOnce: true,
			NetworkDisabled: true,
			Healthcheck:     &container.HealthConfig{Test: []string{"NONE"}},
		}, &container.HostConfig{
			NetworkMode:    "none",
			CapDrop:        []string{"ALL"},
			SecurityOpt:    []string{"no-new-privileges"},
			ReadonlyRootfs: true,
			Tmpfs:          map[string]string{"/tmp": "size=64m,mode=1777,noexec,nosuid,nodev"},
			ShmSize:        c.ShmBytes,
			Mounts:         []mount.Mount{bind(c.Root, insideRoot), bind(c.runPath(""), insideRun)},
			Init:           &init,
			OomScoreAdj:    500,
			LogConfig:      container.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "1m"}},
			Resources: container.Resources{
				Memory: c.MemoryBytes, MemorySwap: c.MemoryBytes, PidsLimit: &pids,
				Ulimits: []*units.Ulimit{{Name: "core"}},
			},
		}
}

// startDocker starts a container; record is told before it is made.
func startDocker(ctx context.Context, c Config, p *Plan, record func(Resource) error) (_ box, err error) {
	cl, err := dockerClient(p.Engine)
	if err != nil {
		return nil, err
	}
	watch, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	b := &dockerBox{
		cl: cl, name: "snapview-" + c.SessionID + "-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		ended: make(chan struct{}), unwatch: unwatch,
	}
	r := Resource{Kind: "container", Container: b.name, Engine: p.Engine, Session: c.SessionID}
	if err := record(r); err != nil {
		unwatch()
		return nil, errors.Join(err, cl.Close())
	}
	defer func() {
		if err != nil {
			clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), killPatience)
			defer cancel()
			err = errors.Join(fmt.Errorf("container %s: %w", b.name, err), b.release(clean))
		}
	}()
	config, host := containerConfig(c, p)
	if _, err := cl.ContainerCreate(ctx, config, host, nil, nil, b.name); err != nil {
		close(b.ended)
		return nil, fmt.Errorf("create: %w", err)
	}
	at, err := cl.ContainerAttach(ctx, b.name, container.AttachOptions{Stream: true, Stdin: true})
	if err != nil {
		close(b.ended)
		return nil, fmt.Errorf("attach: %w", err)
	}
	b.stdin = &at
	exit, failed := cl.ContainerWait(watch, b.name, container.WaitConditionNextExit)
	go func() {
		defer close(b.ended)
		select {
		case r := <-exit:
			b.how = "exit status " + strconv.FormatInt(r.StatusCode, 10)
		case err := <-failed:
			b.how = "the engine stopped telling: " + err.Error()
		}
	}()
	if err := cl.ContainerStart(ctx, b.name, container.StartOptions{}); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if i, err := cl.ContainerInspect(ctx, b.name); err == nil && i.State != nil {
		b.process = i.State.Pid
	}
	return b, nil
}

func (b *dockerBox) order(line string) error {
	_, err := io.WriteString(b.stdin.Conn, line+"\n")
	return err
}

func (b *dockerBox) done() <-chan struct{} { return b.ended }
func (b *dockerBox) exit() string          { <-b.ended; return b.how }
func (b *dockerBox) pid() int              { return b.process }
func (b *dockerBox) container() string     { return b.name }

func (b *dockerBox) complaints() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := b.cl.ContainerLogs(ctx, b.name, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "20"})
	if err != nil {
		return ""
	}
	defer r.Close()
	var out bytes.Buffer
	_, _ = stdcopy.StdCopy(&out, &out, io.LimitReader(r, 64<<10))
	return strings.TrimSpace(out.String())
}

func (b *dockerBox) signal(ctx context.Context, sig syscall.Signal) error {
	return b.cl.ContainerKill(ctx, b.name, strconv.Itoa(int(sig)))
}

func (b *dockerBox) release(ctx context.Context) error {
	err := removeContainer(ctx, b.cl, b.name)
	if err != nil {
		return err
	}
	b.unwatch()
	if b.stdin != nil {
		b.stdin.Close()
	}
	<-b.ended
	return b.cl.Close()
}

// removeContainer kills and removes a container and waits until it is gone;
// one that is not there is no error. The engine unmounts what it bound before
// it forgets the container.
func removeContainer(ctx context.Context, cl *client.Client, name string) error {
	for {
		err := cl.ContainerRemove(ctx, name, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if errdefs.IsNotFound(err) {
			return nil
		}
		// nil: look again whether it is gone; a conflict: somebody else is
		// removing it already.
		if err != nil && !strings.Contains(err.Error(), "already in progress") {
			return fmt.Errorf("remove container %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container %s: %w", name, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func reclaimContainer(ctx context.Context, r Resource) error {
	cl, err := dockerClient(r.Engine)
	if err != nil {
		return err
	}
	defer cl.Close()
	i, err := cl.ContainerInspect(ctx, r.Container)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for container %s (is the engine at %s running?): %w", r.Container, cl.DaemonHost(), err)
	}
	if i.Config == nil || i.Config.Labels[labelSession] != r.Session {
		return nil // somebody else's, of the same name
	}
	return removeContainer(ctx, cl, r.Container)
}
