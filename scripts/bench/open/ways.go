package main

import (
	"fmt"
	"log"
	"strconv"
	"strings"
)

// A result is what one way took, a number for each run.
type result struct {
	name   string
	before string // what had to be done before, not counted

	first, cold, warm         []float64 // seconds
	read, written, writtenAll []float64 // bytes
}

const (
	firstQuery = `select count(*) from pgbench_branches`
	scanQuery  = `select count(*) from pgbench_accounts`
)

// A way opens the backup by a script: "open" must end when the server accepts
// connections, "close" gives everything back.
type way struct {
	result
	setup string // not counted
	open  string
	close string
}

// ways are the alternatives, as scripts. $DATA is the data directory.
func ways() []*way {
	return []*way{
		{
			result: result{name: "a copy restored before, pg_ctl start", before: "restore"},
			open:   `start "$DIR/restored"`,
			close:  `stop "$DIR/restored"`,
		},
		{
			result: result{name: "tar -x, pg_ctl start"},
			setup:  `rm -rf "$DIR/unpacked"; mkdir "$DIR/unpacked"; chown postgres: "$DIR/unpacked"; chmod 700 "$DIR/unpacked"`,
			open: `as tar -C "$DIR/unpacked" -xf "$DIR/backup/base.tar"; as tar -C "$DIR/unpacked/pg_wal" -xf "$DIR/backup/pg_wal.tar"
				start "$DIR/unpacked"`,
			close: `stop "$DIR/unpacked"; rm -rf "$DIR/unpacked"`,
		},
		{
			result: result{name: "qcow2 overlay on a raw image (qemu-storage-daemon's FUSE, loop)", before: "restore into the image"},
			setup:  `rm -f "$DIR/top.qcow2"; qemu-img create -q -f qcow2 -b "$DIR/image.raw" -F raw "$DIR/top.qcow2"; mkdir -p "$DIR/qmnt"; touch "$DIR/qfuse"`,
			open:   qcow2Daemon + qcow2Buffered + `start "$DIR/qmnt"`,
			close:  `stop "$DIR/qmnt"; ` + qcow2Close,
		},
		{
			result: result{name: "overlayfs on an unpacked copy", before: "restore"},
			setup:  `rm -rf "$DIR"/o{up,work,mnt}; mkdir -p "$DIR"/o{up,work,mnt}; chown postgres: "$DIR/oup"; chmod 700 "$DIR/oup"`,
			open:   `mount -t overlay -o "lowerdir=$DIR/lower,upperdir=$DIR/oup,workdir=$DIR/owork" overlay "$DIR/omnt"; start "$DIR/omnt"`,
			close:  `stop "$DIR/omnt"; umount "$DIR/omnt"`,
		},
	}
}

// qcow2Daemon serves the qcow2 overlay as a file by FUSE. qcow2Buffered mounts it
// for writing, by a buffered loop: with direct I/O the daemon of Debian 12 mixes
// up concurrent writes. qcow2Direct mounts it for reading, by a direct loop as
// snapview has it, which is the faster of the two.
const (
	qcow2Daemon = `
	qemu-storage-daemon --blockdev "driver=file,filename=$DIR/top.qcow2,node-name=f" --blockdev driver=qcow2,file=f,node-name=q \
		--export "type=fuse,id=e,node-name=q,mountpoint=$DIR/qfuse,writable=on,allow-other=off" --daemonize --pidfile "$DIR/qpid"
	`
	qcow2Buffered = `losetup --find --show "$DIR/qfuse" >"$DIR/qloop"; mount -o noatime "$(cat "$DIR/qloop")" "$DIR/qmnt"
	`
	qcow2Direct = `losetup --find --show --direct-io=on --sector-size 4096 "$DIR/qfuse" >"$DIR/qloop"; mount -o ro,noload "$(cat "$DIR/qloop")" "$DIR/qmnt"
	`
)

const qcow2Close = `umount "$DIR/qmnt"; losetup -d "$(cat "$DIR/qloop")"; sleep 0.2; kill "$(cat "$DIR/qpid")"
	while kill -0 "$(cat "$DIR/qpid")" 2>/dev/null; do sleep 0.1; done`

// measureOpens runs every way in turn, runs times.
func (b *bench) measureOpens(runs int) ([]*result, error) {
	all := ways()
	ours := &result{name: "**snapview open**"}
	for run := range runs {
		log.Printf("run %d of %d", run+1, runs)
		for _, w := range all {
			if err := b.runWay(w); err != nil {
				return nil, err
			}
		}
		if err := b.runSnapview(ours); err != nil {
			return nil, err
		}
	}
	results := []*result{}
	for _, w := range all {
		results = append(results, &w.result)
	}
	return append(results, ours), nil
}

// runWay measures one alternative: first row, a cold scan, a warm one.
func (b *bench) runWay(w *way) error {
	timed := func(script string) string {
		return "t0=$(date +%s.%N); " + script + `; t1=$(date +%s.%N); echo "$t0 $t1"` + "\n"
	}
	out, err := b.output(w.setup + "\ndrop\n" +
		timed(w.open+fmt.Sprintf("\npsql -d postgres -c '%s' >/dev/null", firstQuery)) +
		"drop\n" + timed(fmt.Sprintf("psql -d postgres -c '%s' >/dev/null", scanQuery)) +
		timed(fmt.Sprintf("psql -d postgres -c '%s' >/dev/null", scanQuery)) +
		w.close)
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	var took []float64
	for line := range strings.Lines(out) {
		from, to, ok := strings.Cut(strings.TrimSpace(line), " ")
		t0, err0 := strconv.ParseFloat(from, 64)
		t1, err1 := strconv.ParseFloat(to, 64)
		if ok && err0 == nil && err1 == nil {
			took = append(took, t1-t0)
		}
	}
	if len(took) != 3 {
		return fmt.Errorf("%s: three times expected in %q", w.name, out)
	}
	w.first, w.cold, w.warm = append(w.first, took[0]), append(w.cold, took[1]), append(w.warm, took[2])
	return nil
}
