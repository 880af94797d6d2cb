package session

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A session that is kept ends at its new time, and not at any other.
func TestKeepMovesTheEnd(t *testing.T) {
	s, err := New(Options{StateDir: t.TempDir(), Ref: "/nowhere", TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(t.Context()) })
	wantEnd := func(want time.Time) {
		t.Helper()
		found, err := readRecord(s.Dir())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Info().Expires; !got.Equal(want) || !found.Expires.Equal(want) {
			t.Errorf("it ends at %v, its ledger says %v, want %v", got, found.Expires, want)
		}
	}
	wantEnd(s.Info().Opened.Add(time.Hour))
	if _, err := s.Keep(-1); err == nil {
		t.Error("kept for less than nothing")
	}
	// While it opens the end moves, and nothing is closed under the opening.
	if _, err := s.Keep(time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{0, 2 * time.Hour} {
		if d > 0 {
			s.setState(Ready, nil)
			s.watch()
		}
		before := time.Now()
		end, err := s.Keep(d)
		if err != nil {
			t.Fatal(err)
		}
		wantEnd(end)
		var last Event
		for _, e := range s.Happened() {
			if e.Kind == Notice {
				last = e
			}
		}
		if !strings.Contains(last.Message, map[bool]string{true: "until somebody closes it", false: end.UTC().Format(time.DateTime)}[d == 0]) {
			t.Errorf("kept %v, and people were told %+v", d, last)
		}
		if (d == 0) != end.IsZero() || d > 0 && (end.Before(before.Add(d)) || end.After(time.Now().Add(d))) {
			t.Errorf("kept %v from %v: until %v", d, before, end)
		}
	}
	select {
	case <-s.Done():
		t.Fatalf("it ended: %s", s.Info().Why)
	default:
	}
	if _, err := s.Keep(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-time.After(time.Minute):
		t.Fatal("it did not end at its new time")
	}
	if _, err := s.Keep(time.Hour); !errors.Is(err, ErrNotReady) {
		t.Errorf("keeping what is closed: %v", err)
	}
}
