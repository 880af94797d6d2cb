package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A bench knows where everything lies.
type bench struct {
	ctx     context.Context
	dir     string // holds backup/, restored/, lower/, image.raw
	bin     string
	program string
}

func (b *bench) path(elem ...string) string {
	return filepath.Join(append([]string{b.dir}, elem...)...)
}

// sh runs a script with the bench's folders in its environment.
func (b *bench) sh(script string) error {
	_, err := b.output(script)
	return err
}

func (b *bench) output(script string) (string, error) {
	cmd := exec.CommandContext(b.ctx, "bash", "-euo", "pipefail", "-c", `
		as() { setpriv --reuid=postgres --regid=postgres --init-groups env -C / LC_ALL=C.UTF-8 "$@"; }
		start() { as "$BIN/pg_ctl" -D "$1" -w -s -l "$DIR/socket/log" -o "-k $DIR/socket -p 54398 -c listen_addresses=" start >/dev/null; }
		stop() { as "$BIN/pg_ctl" -D "$1" -m fast -w -s stop; }
		psql() { as "$BIN/psql" -h "$DIR/socket" -p 54398 -U postgres -XqAt "$@"; }
		drop() { sync -f "$DIR"; echo 3 >/proc/sys/vm/drop_caches; }
		`+script)
	cmd.Env = append(os.Environ(), "DIR="+b.dir, "BIN="+b.bin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w in %s\n%s", err, strings.TrimSpace(script), out)
	}
	return string(out), nil
}

// prepare makes the backup and the copies that the alternatives need, once.
func (b *bench) prepare(scale int) error {
	if _, err := os.Stat(b.path("prepared")); err == nil {
		return nil
	}
	log.Printf("making a pgbench backup of scale %d in %s (once)", scale, b.dir)
	if err := os.RemoveAll(b.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	return b.sh(fmt.Sprintf(`
		cd "$DIR"; mkdir cluster socket backup restored lower; chown postgres: cluster socket backup restored lower
		as "$BIN/initdb" -D "$DIR/cluster" -U postgres --no-sync -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
		start "$DIR/cluster"
		as "$BIN/pgbench" -h "$DIR/socket" -p 54398 -U postgres -i -q -s %d postgres >/dev/null 2>&1
		psql -d postgres -c 'vacuum (freeze, analyze)' -c checkpoint
		as "$BIN/pg_basebackup" -h "$DIR/socket" -p 54398 -U postgres -D "$DIR/backup" -Ft -X stream -c fast
		stop "$DIR/cluster"; rm -rf cluster
		for copy in restored lower; do
			chmod 700 $copy; as tar -C "$DIR/$copy" -xf "$DIR/backup/base.tar"; as tar -C "$DIR/$copy/pg_wal" -xf "$DIR/backup/pg_wal.tar"
		done
		start "$DIR/restored"; stop "$DIR/restored"
		truncate -s 8G image.raw; mkfs.ext4 -q -F -O ^has_journal image.raw; mkdir image; mount -o loop image.raw image
		cp -a restored/. image/; chown postgres: image; chmod 700 image; umount image; rmdir image
		touch prepared`, scale))
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return 0
	}
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
