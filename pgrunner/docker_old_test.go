package pgrunner

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestDockerOtherVersions starts what other versions there are images of: the
// newest and oldest behave differently in recovery, statistics and rights. The
// clusters are made by the images themselves.
func TestDockerOtherVersions(t *testing.T) {
	_, chosen := needsDocker(t, 17)
	for major := MinMajor; major <= MaxMajor; major++ {
		image := "snapview/postgres:" + strconv.Itoa(major)
		cl, err := dockerClient(chosen.DockerHost)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cl.ImageInspect(t.Context(), image)
		_ = cl.Close()
		if err != nil || major == 17 {
			continue // the others are for whoever made them by scripts/pg-image.sh
		}
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			chosen := chosen
			chosen.Major, chosen.Image = major, image
			p, err := Choose(t.Context(), chosen)
			if err != nil {
				t.Fatal(err)
			}
			dir := tempDir(t)
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			run(t, "docker", "-H", p.Engine, "run", "--rm", "--network", "none", "--label", labelSession+"=test",
				"--user", strconv.Itoa(p.UID)+":"+strconv.Itoa(p.GID), "-v", dir+":/w", image, "sh", "-c",
				`initdb -N -D /w/data -U boss >/dev/null && printf '%s\n' "create database shop;" | postgres --single -D /w/data postgres >/dev/null 2>&1 && `+
					`printf '%s\n' 'create schema s;' 'create table s.t (a int);' 'insert into s.t values (42);' 'create sequence q;' | `+
					`postgres --single -D /w/data shop >/dev/null 2>&1`)
			root := filepath.Join(dir, "root")
			mkdir(t, root)
			rename(t, filepath.Join(dir, "data"), filepath.Join(root, "data"))
			s := start(t, p, config(t, root, major))
			conn := connect(t, s.DSN("shop"))
			for sql, want := range map[string]string{
				"select a from s.t":              "42",
				"select last_value from q":       "1",
				"select pg_is_in_recovery()":     "true",
				"show session_preload_libraries": "",
			} {
				if got := value(t, conn, sql); got != want {
					t.Errorf("%s: %s, want %s", sql, got, want)
				}
			}
			if _, err := conn.Exec(t.Context(), "insert into s.t values (1)"); err == nil {
				t.Error("a write went through")
			}
			if !strings.HasPrefix(s.Version(), strconv.Itoa(major)+".") {
				t.Errorf("version %s", s.Version())
			}
		})
	}
}
