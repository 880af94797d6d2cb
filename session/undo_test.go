package session

import (
	"context"
	"errors"
	"slices"
	"testing"
)

func TestUndoRunsBackwardsPastFailuresAndStopsAtCriticalOnes(t *testing.T) {
	var ran []string
	var fail []string
	var u undoList
	add := func(name string, add func(string, func(context.Context) error)) {
		add(name, func(context.Context) error {
			ran = append(ran, name)
			if slices.Contains(fail, name) {
				return errors.New("busy")
			}
			return nil
		})
	}
	add("folder", u.add)
	add("mount", u.addCritical)
	add("socket", u.add)
	add("server", u.add)

	fail = []string{"socket", "mount"}
	if err := u.run(t.Context(), nil); err == nil {
		t.Fatal("no error from a run in which two steps failed")
	}
	if want := []string{"server", "socket", "mount"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}

	ran, fail = nil, nil
	if err := u.run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"socket", "mount", "folder"}; !slices.Equal(ran, want) {
		t.Errorf("second run did %v, want %v", ran, want)
	}
	ran = nil
	if err := u.run(t.Context(), nil); err != nil || ran != nil {
		t.Errorf("third run did %v, %v, want nothing", ran, err)
	}
}
