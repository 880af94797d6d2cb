package pgrunner

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// postgresImage looks like the official image as far as Choose looks at it, and
// is large enough for its download to take more than one step.
func postgresImage(t *testing.T, major string) v1.Image {
	t.Helper()
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	passwd := "root:x:0:0::/root:/bin/sh\npostgres:x:999:998::/var/lib/postgresql:/bin/bash\n"
	for _, h := range []tar.Header{
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(passwd))},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, passwd); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	base, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ballast, err := random.Layer(4<<20, types.DockerLayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, base, ballast)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config.Env = []string{"PG_MAJOR=" + major, "PG_VERSION=" + major + ".4-1.pgdg"}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestDockerPull gets images from a registry on loopback, which engines use
// without TLS.
func TestDockerPull(t *testing.T) {
	_, c := needsDocker(t, 17)
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	push := func(tag, major string) string {
		ref, err := name.ParseReference(host + "/" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, postgresImage(t, major)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cl, err := dockerClient(c.DockerHost)
			if err != nil {
				t.Error(err)
				return
			}
			defer cl.Close()
			_, err = cl.ImageRemove(context.Background(), ref.String(), image.RemoveOptions{Force: true, PruneChildren: true})
			if err != nil && !strings.Contains(err.Error(), "No such image") {
				t.Error(err)
			}
		})
		return ref.String()
	}
	c.CacheDir = t.TempDir()
	var mu sync.Mutex
	var events []Event
	c.Events = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}

	c.Image = push("postgres:17", "17")
	p, err := Choose(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if p.UID != 999 || p.GID != 998 || p.Version != "17.4" {
		t.Errorf("plan %+v", p)
	}
	if len(events) == 0 || events[0].Phase != "pull" || !strings.Contains(events[0].Message, c.Image) {
		t.Errorf("events %+v", events)
	}
	for _, e := range events {
		if e.Done > e.Total {
			t.Errorf("%d bytes of %d", e.Done, e.Total)
		}
	}

	events = nil
	if _, err := Choose(t.Context(), c); err != nil || len(events) != 0 {
		t.Errorf("an image that is here is pulled again: %v, %+v", err, events)
	}

	c.Image = push("postgres:16", "16")
	if _, err := Choose(t.Context(), c); !errors.Is(err, ErrNoRunner) || !strings.Contains(err.Error(), "needs 17") {
		t.Errorf("an image of another major: %v", err)
	}
	c.Image = host + "/nobody/has:this"
	if _, err := Choose(t.Context(), c); !errors.Is(err, ErrNoRunner) || !strings.Contains(err.Error(), c.Image) {
		t.Errorf("an image that is not there: %v", err)
	}
	entries, err := os.ReadDir(c.CacheDir)
	if err != nil || len(entries) != 1 {
		t.Errorf("users of images remembered: %v, %v", entries, err)
	}
}
