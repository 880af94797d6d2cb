package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// An undo list holds what was acquired and how to give it back. It is used
// from the last to the first. A step that fails stays on the list, so that a
// second run tries it again; the steps below it are tried only when they do
// not lie under what failed, which nothing here does: everything stands on
// what was acquired before it. So a run stops at the first failure of a
// critical step and goes on past others.
type undoList struct {
	mu    sync.Mutex
	steps []undoStep
}

type undoStep struct {
	name     string
	critical bool // what lies below it may not go before it
	run      func(context.Context) error
}

func (u *undoList) add(name string, run func(context.Context) error) {
	u.push(undoStep{name, false, run})
}

// addCritical is add for what would lose data or strand the kernel if the
// steps before it were undone under its feet.
func (u *undoList) addCritical(name string, run func(context.Context) error) {
	u.push(undoStep{name, true, run})
}

func (u *undoList) push(s undoStep) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, s)
}

// run undoes everything that can be and returns every error.
func (u *undoList) run(ctx context.Context, began func(name string)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var failed []undoStep
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		step := u.steps[i]
		if began != nil {
			began(step.name)
		}
		if err := step.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", step.name, err))
			failed = append([]undoStep{step}, failed...)
			if step.critical {
				u.steps = append(u.steps[:i:i], failed...)
				return errors.Join(errs...)
			}
		}
	}
	u.steps = failed
	return errors.Join(errs...)
}
