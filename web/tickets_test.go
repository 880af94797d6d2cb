package web

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

// A download that is cancelled before its statement began is cancelled then.
func TestTickets_AreStoppedBeforeTheStatement(t *testing.T) {
	all, q := newTickets(), newQueries(10, 10)
	o := &offered{key: queryKey{"demo", "x"}, user: "ada"}
	if err := all.add(o); err != nil {
		t.Fatal(err)
	}
	if all.take(o.key, "ada") != o {
		t.Fatal("nothing was taken")
	}
	all.mu.Lock()
	o.stop()
	all.mu.Unlock()
	ctx, run, err := q.begin(t.Context(), "ada", "demo", "", "export", "shop", "select 1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	o.runs(run)
	if !errors.Is(context.Cause(ctx), errCancelled) {
		t.Errorf("the statement runs: %v", context.Cause(ctx))
	}
	o.ended(context.Cause(ctx))
	if o.state != downloadCancelled {
		t.Errorf("the download is %s", o.state)
	}
}

// One user takes no places of others, of what waits and of what ended.
func TestTickets_AreForEverybody(t *testing.T) {
	all := newTickets()
	n := 0
	add := func(user string) (*offered, error) {
		n++
		o := &offered{key: queryKey{"demo", strconv.Itoa(n)}, user: user}
		return o, all.add(o)
	}
	bobs, err := add("bob")
	if err != nil {
		t.Fatal(err)
	}
	all.take(bobs.key, "bob").ended(nil)
	for range maxTicketsPerUser {
		if _, err := add("ada"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := add("ada"); err == nil {
		t.Error("one more of ada's was taken")
	}
	if _, err := add("bob"); err != nil {
		t.Errorf("bob's was not: %v", err)
	}
	for range maxTickets - maxTicketsPerUser - 1 {
		if _, err := add(""); err != nil {
			t.Fatalf("the operator's was not: %v", err)
		}
	}
	if _, err := add("bob"); err == nil {
		t.Error("more than may wait in all were taken")
	}
	for key, o := range all.open {
		if o.state == downloadWaiting {
			all.take(key, o.user).ended(nil)
		}
	}
	for range maxTicketsPerUser { // ended one by one, ada's push out ada's
		o, err := add("ada")
		if err != nil {
			t.Fatal(err)
		}
		all.take(o.key, "ada").ended(nil)
	}
	if len(all.open) > maxTickets || all.open[bobs.key] == nil {
		t.Errorf("%d are remembered, bob's %v", len(all.open), all.open[bobs.key])
	}
}
