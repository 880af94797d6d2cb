package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snapview/snapview/session"
)

// follow prints a session's events as they come, as lines for people or as
// JSON objects, until the session ends. atReady, if given, is called between
// the event of the session being ready and the next. The returned function
// waits for the end.
func (a *app) follow(s *session.Session, atReady func()) (wait func()) {
	var printed sync.WaitGroup
	printed.Go(func() {
		p := progress{out: a.err, terminal: isTerminal(a.err)}
		//nolint:errcheck // it ends when the session does
		s.Events(context.Background(), 0, func(e session.Event) bool {
			switch {
			case a.json && !a.quiet:
				printJSON(a.out, jsonEvent(e))
			case !a.quiet:
				p.print(e)
			}
			if e.State == session.Ready && atReady != nil {
				atReady()
			}
			return true
		})
		p.end()
	})
	return printed.Wait
}

// jsonEvent is an event as scripts read it: durations in seconds.
func jsonEvent(e session.Event) map[string]any {
	m := map[string]any{"event": e.Kind, "at": e.At.UTC().Format(time.RFC3339Nano)}
	put := func(key string, v any, set bool) {
		if set {
			m[key] = v
		}
	}
	put("state", e.State, e.State != "")
	put("phase", e.Phase, e.Phase != "")
	put("seconds", e.Took.Seconds(), e.Took != 0)
	put("message", e.Message, e.Message != "")
	put("held", e.Held, e.Kind == session.Held)
	put("done_bytes", e.Done, e.Total != 0)
	put("total_bytes", e.Total, e.Total != 0)
	if e.Sample != nil {
		m["overlay_bytes"] = e.Sample.OverlayBytes
		m["read_bytes"] = e.Sample.ReadBytes
		m["holding"] = e.Sample.Holding
	}
	return m
}

// progress prints events for people: one line for each phase, and on a
// terminal what goes on inside it on a line that is written over.
type progress struct {
	out      io.Writer
	terminal bool
	pending  bool // an unfinished line is on the terminal
}

func (p *progress) print(e session.Event) {
	switch e.Kind {
	case session.PhaseBegan:
		p.transient(string(e.Phase) + " ...")
	case session.PhaseEnded:
		p.line(fmt.Sprintf("%-9s %8s", e.Phase, took(e.Took)))
	case session.Progress:
		message := e.Message
		if e.Total > 0 {
			message = fmt.Sprintf("%s: %s of %s", message, size(e.Done), size(e.Total))
		}
		if e.Phase != "" {
			message = fmt.Sprintf("%-9s %s", e.Phase, message)
		}
		p.transient(message)
	case session.Notice, session.Held:
		p.line("! " + e.Message)
	case session.Changed:
		switch e.State {
		case session.Ready:
			p.line(fmt.Sprintf("%-9s %8s", "ready", took(e.Took)))
		case session.Closing:
			p.transient("closing ...")
		case session.Closed:
			p.line("closed; nothing is left behind")
		}
	}
}

func (p *progress) transient(text string) {
	if !p.terminal {
		return
	}
	fmt.Fprintf(p.out, "\r\033[K%s", text)
	p.pending = true
}

func (p *progress) line(text string) {
	if p.pending {
		fmt.Fprint(p.out, "\r\033[K")
		p.pending = false
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) end() {
	if p.pending {
		fmt.Fprint(p.out, "\r\033[K")
	}
}

// isTerminal says whether w is a terminal that can overwrite a line.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
