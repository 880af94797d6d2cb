package webtest

import (
	"context"
	_ "embed"
)

// DemoDatabase is the name of the database that CreateDemo makes.
const DemoDatabase = "shop"

//go:embed demo.sql
var demoSQL string

// CreateDemo makes the database "shop": a small shop with foreign keys, jsonb,
// arrays, NULLs, a view, partitions and 10,000 orders.
func (c *Cluster) CreateDemo(ctx context.Context) error {
	if err := c.Exec(ctx, "postgres", "create database "+DemoDatabase); err != nil {
		return err
	}
	return c.Exec(ctx, DemoDatabase, demoSQL)
}
