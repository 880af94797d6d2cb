package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/snapview/snapview/attach"
)

// fioVerify writes blocks of all sizes at random places of a file, several at
// once, and compares what it reads: with the page cache between, and without.
func fioVerify() error {
	d, err := newDisk()
	if err != nil {
		return err
	}
	socket, _, stop, err := serve(d)
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := soon()
	defer cancel()
	a, err := attach.Attach(ctx, attach.Config{
		Dir: "/run/fio", Device: d, Method: attach.NBD,
		NBDSocket: socket, NBDExport: export, NBDTimeout: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	// One fio, since it takes seconds to begin here.
	args := []string{"--name=global", "--directory=" + a.MountPoint(), "--rw=randwrite", "--size=3m", "--numjobs=2", "--thread",
		"--fallocate=none", "--verify=crc32c", "--verify_fatal=1", "--randseed=7"}
	args = append(args, "--name=cached", "--ioengine=psync", "--bsrange=512-64k", "--bs_unaligned",
		"--name=direct", "--stonewall", "--ioengine=libaio", "--iodepth=16", "--direct=1", "--bsrange=4k-256k", "--blockalign=4k", "--bs_unaligned=0")
	if err = errors.Join(run("fio", args...), a.Detach(ctx)); err != nil {
		return fmt.Errorf("over the kernel's client: %w", err)
	}
	return d.check()
}
