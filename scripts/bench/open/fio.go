package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
)

// A job is one row of the comparison: reads or writes of one file in the mount.
type job struct {
	name  string
	rw    string
	block string
	depth int
	cold  bool
	write bool
}

func jobs() (reads, writes []job) {
	for _, cold := range []bool{true, false} {
		for _, depth := range []int{1, 16} {
			for _, kind := range [][3]string{{"4k random read", "randread", "4k"}, {"8k random read", "randread", "8k"}, {"1 MiB sequential read", "read", "1m"}} {
				reads = append(reads, job{name: kind[0], rw: kind[1], block: kind[2], depth: depth, cold: cold})
			}
		}
	}
	for _, depth := range []int{1, 16} {
		for _, kind := range [][3]string{{"4k random write", "randwrite", "4k"}, {"8k random write", "randwrite", "8k"}, {"1 MiB sequential write", "write", "1m"}} {
			writes = append(writes, job{name: kind[0], rw: kind[1], block: kind[2], depth: depth, write: true})
		}
	}
	return reads, writes
}

// A fioRow is what the runs of one job gave, in MB/s.
type fioRow struct{ host, qcow2, ours []float64 }

// A fioTable is a row for each of some jobs.
type fioTable struct {
	jobs []job
	rows []fioRow
}

func newFioTable(jobs []job) *fioTable { return &fioTable{jobs, make([]fioRow, len(jobs))} }

// measure runs every job on a file.
func (t *fioTable) measure(b *bench, file string, seconds int, into func(*fioRow) *[]float64) error {
	for i, j := range t.jobs {
		v, err := b.fio(j, file, seconds)
		if err != nil {
			return err
		}
		p := into(&t.rows[i])
		*p = append(*p, v)
	}
	return nil
}

func (t *fioTable) print(title string) {
	fmt.Printf("\n| %s, MB/s | depth | cache | host's file system | qemu-storage-daemon, qcow2 | snapview | snapview beside qemu |\n", title)
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	for i, j := range t.jobs {
		cache := "warm"
		switch {
		case j.write:
			cache = ""
		case j.cold:
			cache = "cold"
		}
		r := t.rows[i]
		fmt.Printf("| %s | %d | %s | %.0f | %.0f | %.0f | %.2f |\n", j.name, j.depth, cache,
			median(r.host), median(r.qcow2), median(r.ours), median(r.ours)/median(r.qcow2))
	}
}

// measureFio compares direct reads of a table's file, and writes of a file of
// 512 MiB with the fsync at their end: on the host's file system, in the qcow2
// overlay's mount, in snapview's. The qcow2 overlay is read through a direct
// loop and written through a buffered one.
func (b *bench) measureFio(runs, seconds int) error {
	r, w := jobs()
	reads, writes := newFioTable(r), newFioTable(w)
	host := func(r *fioRow) *[]float64 { return &r.host }
	qcow2 := func(r *fioRow) *[]float64 { return &r.qcow2 }
	ours := func(r *fioRow) *[]float64 { return &r.ours }
	both := func(mount, scratch string, into func(*fioRow) *[]float64) error {
		file, err := largestFile(mount)
		if err != nil {
			return err
		}
		if err := reads.measure(b, file, seconds, into); err != nil {
			return err
		}
		if scratch == "" {
			return nil
		}
		err = writes.measure(b, scratch, seconds, into)
		return errors.Join(err, os.Remove(scratch))
	}
	for run := range runs {
		log.Printf("fio, run %d of %d", run+1, runs)
		if err := both(b.path("restored"), b.path("fio.dat"), host); err != nil {
			return err
		}
		if err := b.inQcow2(qcow2Direct, func() error { return both(b.path("qmnt"), "", qcow2) }); err != nil {
			return err
		}
		if err := b.inQcow2(qcow2Buffered, func() error { return writes.measure(b, b.path("qmnt/fio.dat"), seconds, qcow2) }); err != nil {
			return err
		}
		o, err := b.open()
		if err != nil {
			return err
		}
		mount := filepath.Join(o.state, "sessions", o.ready.ID, "disk/mnt")
		if err := errors.Join(both(mount+"/data", mount+"/fio.dat", ours), o.close()); err != nil {
			return err
		}
	}
	reads.print("direct reads in the mount (qcow2 on a direct loop)")
	writes.print("direct writes in the mount, the fsync at their end counted (qcow2 on a buffered loop)")
	return nil
}

// inQcow2 calls f while a new qcow2 overlay is mounted as mount says.
func (b *bench) inQcow2(mount string, f func() error) error {
	if err := b.sh(ways()[2].setup + "\n" + qcow2Daemon + mount); err != nil {
		return err
	}
	return errors.Join(f(), b.sh(qcow2Close))
}

// largestFile is the first segment of the largest table below a data directory.
func largestFile(data string) (string, error) {
	files, err := filepath.Glob(data + "/base/*/*.1")
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no table of more than 1 GiB below %s: %v", data, err)
	}
	sort.Strings(files)
	return files[0][:len(files[0])-len(".1")], nil
}

// fio runs one job and returns MB/s.
func (b *bench) fio(j job, file string, seconds int) (float64, error) {
	if j.cold {
		if err := b.sh("drop"); err != nil {
			return 0, err
		}
	}
	args := []string{
		"--name=j", "--filename=" + file, "--rw=" + j.rw, "--bs=" + j.block,
		"--iodepth=" + strconv.Itoa(j.depth), "--ioengine=libaio", "--direct=1", "--time_based", "--runtime=" + strconv.Itoa(seconds),
		"--randrepeat=0", "--norandommap", "--output-format=json",
	}
	if j.write {
		args = append(args, "--size=512m", "--overwrite=1", "--end_fsync=1")
		// The file is there and on the disk before the job is timed.
		if out, err := exec.CommandContext(b.ctx, "fio", append(args, "--create_only=1")...).CombinedOutput(); err != nil {
			return 0, fmt.Errorf("fio laying out %s: %w\n%s", file, err, out)
		}
		if err := b.sh("sync -f " + file); err != nil {
			return 0, err
		}
	} else {
		args = append(args, "--readonly")
	}
	out, err := exec.CommandContext(b.ctx, "fio", args...).Output()
	if err != nil {
		return 0, fmt.Errorf("fio on %s: %w", file, err)
	}
	var report struct {
		Jobs []struct {
			Read, Write struct {
				Bytes float64 `json:"bw_bytes"`
			}
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 {
		return 0, fmt.Errorf("fio's report: %v", err)
	}
	done := report.Jobs[0]
	return (done.Read.Bytes + done.Write.Bytes) / 1e6, nil // one of them is zero
}
