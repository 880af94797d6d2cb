package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/snapview/snapview/web/webtest"
)

// A way is one of reading the rows of a statement and dropping them.
type way struct {
	title string
	// read reads so many rows and says how many bytes it got and, if it knows,
	// the peak of the memory of what sent or read them.
	read func(ctx context.Context, rows int) (bytes, memory int64, err error)
}

func statement(rows int) string { return fmt.Sprintf("select * from orders limit %d", rows) }

func rows(ctx context.Context, o options, c *webtest.Cluster, s *server) error {
	client, err := exec.LookPath("psql")
	if err != nil {
		return err
	}
	psql := func(args ...string) func(context.Context, int) (int64, int64, error) {
		return func(ctx context.Context, rows int) (int64, int64, error) {
			args := append([]string{"-XqAt", "-d", c.DSN(database)}, args...)
			return program(ctx, client, append(args, "-c", statement(rows))...)
		}
	}
	ways := []way{
		{"**snapview**, the page's query (NDJSON)", s.query},
		{"**snapview**, export as CSV", s.export},
		{"psql, rows of 10,000 at a time (`FETCH_COUNT`)", psql("-v", "FETCH_COUNT=10000")},
		{"psql, the whole result in memory", psql()},
		{"psql, `COPY ... TO STDOUT`: the floor", func(ctx context.Context, rows int) (int64, int64, error) {
			return program(ctx, client, "-XqAt", "-d", c.DSN(database), "-c", "copy ("+statement(rows)+") to stdout")
		}},
	}
	if o.profile != "" {
		done := make(chan error, 1)
		go func() { done <- s.takeProfile(8, o.profile) }()
		for began := time.Now(); time.Since(began) < 8*time.Second; {
			if _, _, err := s.query(ctx, manyRows); err != nil {
				return err
			}
		}
		return <-done
	}
	type figures struct{ rate, megabytes, memory []float64 }
	got := make([]map[int]*figures, len(ways))
	// Every way once in each round, so that a machine that gets slower does so
	// for all.
	for run := range o.runs {
		for i, w := range ways {
			for _, n := range []int{fewRows, manyRows} {
				log.Printf("rows, run %d of %d: %s, %d", run+1, o.runs, w.title, n)
				began := time.Now()
				size, memory, err := w.read(ctx, n)
				if err != nil {
					return fmt.Errorf("%s: %w", w.title, err)
				}
				took := time.Since(began).Seconds()
				if got[i] == nil {
					got[i] = map[int]*figures{fewRows: {}, manyRows: {}}
				}
				f := got[i][n]
				f.rate = append(f.rate, float64(n)/took)
				f.megabytes = append(f.megabytes, float64(size)/1e6)
				f.memory = append(f.memory, float64(memory)/(1<<20))
			}
		}
	}
	fmt.Printf("| %d rows of 7 columns to the socket | rows/s | MB | peak memory, MiB | peak memory with %d rows, MiB |\n| --- | --- | --- | --- | --- |\n", manyRows, fewRows)
	for i, w := range ways {
		f := got[i][manyRows]
		fmt.Printf("| %s | %.0f | %.0f | %.0f | %.0f |\n", w.title, median(f.rate), median(f.megabytes), median(f.memory), median(got[i][fewRows].memory))
	}
	fmt.Println()
	return nil
}

func (s *server) query(ctx context.Context, rows int) (int64, int64, error) {
	return s.post(ctx, "query", map[string]any{"sql": statement(rows), "maxRows": manyRows}, func(tail []byte) error {
		var frame struct {
			End struct {
				Rows  int
				Error any
			}
		}
		if err := json.Unmarshal(tail, &frame); err != nil {
			return fmt.Errorf("%w in %.200s", err, tail)
		}
		if frame.End.Rows != rows || frame.End.Error != nil {
			return fmt.Errorf("the end is %s", tail)
		}
		return nil
	})
}

func (s *server) export(ctx context.Context, rows int) (int64, int64, error) {
	return s.post(ctx, "export", map[string]any{"sql": statement(rows), "format": "csv"}, func(tail []byte) error {
		if bytes.Contains(tail, []byte("export failed")) {
			return fmt.Errorf("%s", tail)
		}
		return nil
	})
}

// post reads an answer to its end and has the last line looked at.
func (s *server) post(ctx context.Context, what string, body any, check func(tail []byte) error) (size, memory int64, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/api/v1/sessions/bench/databases/"+database+"/"+what, bytes.NewReader(text))
	if err != nil {
		return 0, 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Snapview", "1")
	if err := forgetPeak(s.cmd.Process.Pid); err != nil {
		return 0, 0, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return 0, 0, fmt.Errorf("%s: %s", res.Status, text)
	}
	var end lastLine
	if size, err = io.CopyBuffer(&end, res.Body, make([]byte, 1<<20)); err != nil {
		return 0, 0, err
	}
	if err := check(end.line()); err != nil {
		return 0, 0, err
	}
	memory, err = peak(s.cmd.Process.Pid)
	return size, memory, err
}

// lastLine keeps the last bytes that are written to it.
type lastLine struct{ tail []byte }

func (l *lastLine) Write(p []byte) (int, error) {
	const enough = 4096
	n := len(p)
	if len(p) > enough {
		p = p[len(p)-enough:]
	}
	l.tail = append(l.tail, p...)
	if len(l.tail) > enough {
		l.tail = append(l.tail[:0], l.tail[len(l.tail)-enough:]...)
	}
	return n, nil
}

func (l *lastLine) line() []byte {
	t := bytes.TrimRight(l.tail, "\n")
	return t[bytes.LastIndexByte(t, '\n')+1:]
}

// program runs one that reads rows itself, and drops what it prints.
func program(ctx context.Context, name string, args ...string) (size, memory int64, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	size, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, out, make([]byte, 1<<20))
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, complaints.String())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		memory = usage.Maxrss << 10
	}
	return size, memory, nil
}
