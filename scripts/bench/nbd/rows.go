package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// A row is one line of the table.
type row struct {
	rw    string // fio's
	block int    // bytes
	depth int    // per connection
	conns int
	aged  bool // over what the random writes before it have left
}

// selectRows returns the rows in the order of measurement.
func selectRows(containing string) []row {
	var reads, random, sequential []row
	for _, conns := range []int{1, 4} {
		reads = append(reads,
			row{rw: "randread", block: 4 << 10, depth: 1, conns: conns},
			row{rw: "randread", block: 4 << 10, depth: 32 / conns, conns: conns},
			row{rw: "read", block: 64 << 10, depth: 4, conns: conns},
			row{rw: "read", block: 1 << 20, depth: 4, conns: conns})
		random = append(random,
			row{rw: "randwrite", block: 4 << 10, depth: 1, conns: conns},
			row{rw: "randwrite", block: 4 << 10, depth: 32 / conns, conns: conns})
		sequential = append(sequential,
			row{rw: "write", block: 64 << 10, depth: 4, conns: conns},
			row{rw: "write", block: 1 << 20, depth: 4, conns: conns})
	}
	random = append(random,
		row{rw: "write", block: 64 << 10, depth: 4, conns: 1, aged: true},
		row{rw: "write", block: 1 << 20, depth: 4, conns: 1, aged: true})
	all := slices.Concat(reads, random, sequential)
	return slices.DeleteFunc(all, func(r row) bool { return !strings.Contains(r.name(), containing) })
}

// group tells which rows are measured over the same overlays.
func (r row) group() string {
	switch {
	case r.rw == "randwrite" || r.aged:
		return "random writes"
	case r.rw == "write":
		return "sequential writes"
	}
	return "reads"
}

func (r row) name() string {
	kind := map[string]string{
		"randread": "random read", "randwrite": "random write",
		"read": "sequential read", "write": "sequential write",
	}[r.rw]
	name := fmt.Sprintf("%d KiB %s, depth %d, %d conn", r.block>>10, kind, r.depth*r.conns, r.conns)
	if r.aged {
		name += ", after random writes"
	}
	return name
}

func (r row) unit() string {
	if r.block <= 4<<10 {
		return "IOPS"
	}
	return "MiB/s"
}

// A value is the outcome of one measurement.
type value struct {
	rate float64 // in the row's unit
	cpu  float64 // of the server's, in microseconds for each request
	all  float64 // the same with the client's
}

// measure runs fio once.
func measure(ctx context.Context, r row, p *process, c config) (value, error) {
	part := c.size / int64(r.conns)
	args := []string{
		"--name=j", "--ioengine=nbd", "--uri=" + p.uri, "--rw=" + r.rw,
		fmt.Sprintf("--bs=%d", r.block), fmt.Sprintf("--iodepth=%d", r.depth),
		fmt.Sprintf("--numjobs=%d", r.conns), "--thread", "--group_reporting",
		fmt.Sprintf("--size=%d", part), fmt.Sprintf("--offset_increment=%d", part),
		"--time_based", fmt.Sprintf("--runtime=%dms", c.runtime.Milliseconds()),
		"--randrepeat=0", "--norandommap", "--output-format=json",
	}
	before, err := p.cpuTime()
	if err != nil {
		return value{}, err
	}
	fio := exec.CommandContext(ctx, "fio", args...)
	out, err := fio.Output()
	if err != nil {
		return value{}, fmt.Errorf("fio: %w: %s", err, lastLines(out))
	}
	after, err := p.cpuTime()
	if err != nil {
		return value{}, err
	}
	if i := strings.IndexByte(string(out), '{'); i > 0 {
		out = out[i:] // fio prints warnings in front
	}
	var doc struct {
		Jobs []struct {
			Error       int
			Read, Write struct {
				IOPS  float64 `json:"iops"`
				BW    float64 `json:"bw_bytes"`
				Count int64   `json:"total_ios"`
			}
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil || len(doc.Jobs) != 1 || doc.Jobs[0].Error != 0 {
		return value{}, fmt.Errorf("fio: unusable result: %v: %s", err, lastLines(out))
	}
	side := doc.Jobs[0].Read
	if strings.HasSuffix(r.rw, "write") {
		side = doc.Jobs[0].Write
	}
	perRequest := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(max(1, side.Count)) }
	client := fio.ProcessState.UserTime() + fio.ProcessState.SystemTime()
	v := value{rate: side.IOPS, cpu: perRequest(after - before), all: perRequest(after - before + client)}
	if r.unit() != "IOPS" {
		v.rate = side.BW / (1 << 20)
	}
	return v, nil
}

func lastLines(b []byte) string {
	s := strings.TrimSpace(string(b))
	return s[max(0, len(s)-300):]
}

// results collects the values of every row and server.
type results struct {
	rows    []row
	servers []string
	values  map[row]map[string][]value
}

func newResults(rows []row, servers []string) *results {
	res := &results{rows: rows, servers: servers, values: make(map[row]map[string][]value)}
	for _, r := range rows {
		res.values[r] = make(map[string][]value)
	}
	return res
}

func (res *results) add(r row, server string, v value) {
	res.values[r][server] = append(res.values[r][server], v)
}

// numbers returns one figure of every value.
func (res *results) numbers(r row, server string, pick func(value) float64) []float64 {
	var v []float64
	for _, x := range res.values[r][server] {
		v = append(v, pick(x))
	}
	return v
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// print writes the tables in markdown. The last column of the first is the
// first server's median over the best of the others', that of the second the
// least of the others' over the first server's: more than 1 is better in both.
func (res *results) print(w io.Writer, c config) {
	fmt.Fprintf(w, "Median of %d runs [least-most], %v each; base of %d MiB in the page cache, fresh overlays for each kind of rows.\n\n",
		c.runs, c.runtime, c.size>>20)
	res.table(w, row.unit, "%.0f", func(v value) float64 { return v.rate },
		func(first float64, others []float64) float64 { return first / slices.Max(others) })
	less := func(first float64, others []float64) float64 { return slices.Min(others) / first }
	micro := func(row) string { return "µs" }
	fmt.Fprintf(w, "\nCPU time of the server for each request.\n\n")
	res.table(w, micro, "%.1f", func(v value) float64 { return v.cpu }, less)
	fmt.Fprintf(w, "\nCPU time of server and client together for each request.\n\n")
	res.table(w, micro, "%.1f", func(v value) float64 { return v.all }, less)
}

// beside is measured with the rows that write and shown, but not compared with:
// it says what small blocks cost, which nbdkit has only when told to.
const beside = "nbdkit-4k"

func (res *results) table(w io.Writer, unit func(row) string, verb string, pick func(value) float64, compare func(float64, []float64) float64) {
	fmt.Fprintf(w, "| | unit | %s | %s against best other |\n|---|---|%s---|\n",
		strings.Join(res.servers, " | "), res.servers[0], strings.Repeat("---|", len(res.servers)))
	for _, r := range res.rows {
		fmt.Fprintf(w, "| %s | %s |", r.name(), unit(r))
		var medians []float64
		for _, s := range res.servers {
			v := res.numbers(r, s, pick)
			if len(v) == 0 {
				fmt.Fprint(w, " - |")
				continue
			}
			if s != beside {
				medians = append(medians, median(v))
			}
			fmt.Fprintf(w, " "+verb+" ["+verb+"-"+verb+"] |", median(v), slices.Min(v), slices.Max(v))
		}
		if len(medians) > 1 {
			fmt.Fprintf(w, " %.2f |\n", compare(medians[0], medians[1:]))
		} else {
			fmt.Fprintln(w, " - |")
		}
	}
}
