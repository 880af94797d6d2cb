package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
)

// A job is one row of the comparison: reads of one file in the mount.
type job struct {
	name  string
	rw    string
	block string
	depth int
	cold  bool
}

func jobs() []job {
	var all []job
	for _, cold := range []bool{true, false} {
		for _, depth := range []int{1, 16} {
			for _, kind := range [][3]string{{"4k random read", "randread", "4k"}, {"8k random read", "randread", "8k"}, {"1 MiB sequential read", "read", "1m"}} {
				all = append(all, job{kind[0], kind[1], kind[2], depth, cold})
			}
		}
	}
	return all
}

// measureFio compares direct reads of a table's file: on the host's file
// system, in the qcow2 overlay's mount (by a direct loop), in snapview's.
func (b *bench) measureFio(runs, seconds int) error {
	all := jobs()
	type row struct{ host, qcow2, ours []float64 }
	rows := make([]row, len(all))
	for run := range runs {
		log.Printf("fio, run %d of %d", run+1, runs)
		measure := func(mount string, into func(*row) *[]float64) error {
			file, err := largestFile(mount)
			if err != nil {
				return err
			}
			for i, j := range all {
				v, err := b.fio(j, file, seconds)
				if err != nil {
					return err
				}
				p := into(&rows[i])
				*p = append(*p, v)
			}
			return nil
		}
		if err := measure(b.path("restored"), func(r *row) *[]float64 { return &r.host }); err != nil {
			return err
		}
		qcow2 := ways()[2]
		if err := b.sh(qcow2.setup + "\n" + qcow2Daemon + qcow2Direct); err != nil {
			return err
		}
		err := measure(b.path("qmnt"), func(r *row) *[]float64 { return &r.qcow2 })
		if down := b.sh(qcow2Close); err == nil {
			err = down
		}
		if err != nil {
			return err
		}
		o, err := b.open()
		if err != nil {
			return err
		}
		err = measure(filepath.Join(o.state, "sessions", o.ready.ID, "disk/mnt/data"), func(r *row) *[]float64 { return &r.ours })
		if down := o.close(); err == nil {
			err = down
		}
		if err != nil {
			return err
		}
	}
	fmt.Println("| direct reads in the mount, MB/s | depth | cache | host's file system | qemu-storage-daemon, qcow2, direct loop | snapview | snapview beside qemu |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- |")
	for i, j := range all {
		cache := "warm"
		if j.cold {
			cache = "cold"
		}
		r := rows[i]
		fmt.Printf("| %s | %d | %s | %.0f | %.0f | %.0f | %.2f |\n", j.name, j.depth, cache,
			median(r.host), median(r.qcow2), median(r.ours), median(r.ours)/median(r.qcow2))
	}
	return nil
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
	out, err := exec.CommandContext(b.ctx, "fio", "--name=j", "--filename="+file, "--readonly", "--rw="+j.rw, "--bs="+j.block,
		"--iodepth="+strconv.Itoa(j.depth), "--ioengine=libaio", "--direct=1", "--time_based", "--runtime="+strconv.Itoa(seconds),
		"--randrepeat=0", "--norandommap", "--output-format=json").Output()
	if err != nil {
		return 0, fmt.Errorf("fio on %s: %w", file, err)
	}
	var report struct {
		Jobs []struct {
			Read struct {
				Bytes float64 `json:"bw_bytes"`
			} `json:"read"`
		} `json:"jobs"`
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 {
		return 0, fmt.Errorf("fio's report: %v", err)
	}
	return report.Jobs[0].Read.Bytes / 1e6, nil
}
