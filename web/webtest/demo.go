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
	return c.CreateDemoAs(ctx, DemoDatabase)
}

// CreateDemoAs makes the same under another name, which must be a plain one.
func (c *Cluster) CreateDemoAs(ctx context.Context, database string) error {
	if err := c.Exec(ctx, "postgres", "create database "+database); err != nil {
		return err
	}
	return c.Exec(ctx, database, demoSQL)
}
