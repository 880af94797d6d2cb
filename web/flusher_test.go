package web

import (
	"context"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// A lateRecorder counts deadlines that are set when its answer is over.
type lateRecorder struct {
	*httptest.ResponseRecorder
	over atomic.Bool
	late atomic.Int64
}

func (r *lateRecorder) SetWriteDeadline(time.Time) error {
	if r.over.Load() {
		r.late.Add(1)
	}
	return nil
}

// TestFlusher_LeavesNoDeadline to the next request of the connection, whenever
// the statement was cancelled.
func TestFlusher_LeavesNoDeadline(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		r := &lateRecorder{ResponseRecorder: httptest.NewRecorder()}
		cancel()
		if err := newFlusher(ctx, r).send("the end"); err != nil {
			t.Fatal(err)
		}
		r.over.Store(true)
		time.Sleep(100 * time.Microsecond)
		if r.late.Load() > 0 {
			t.Fatal("a deadline was set after the answer")
		}
	}
}
