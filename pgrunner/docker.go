package pgrunner

import (
	"context"
	"errors"
)

func findDocker(ctx context.Context, c Config) (*Plan, error) {
	return nil, errors.New("not written yet")
}

func startDocker(ctx context.Context, c Config, p *Plan, record func(Resource) error) (box, error) {
	return nil, errors.New("not written yet")
}

func reclaimContainer(ctx context.Context, r Resource) error { return errors.New("not written yet") }
