package webtest

import (
	"context"
	_ "embed"
	"strings"
)

// OddDatabase is the name of the database that CreateOdd makes.
const OddDatabase = "odd"

//go:embed odd.sql
var oddSQL string

// OddPrelude are the statements that make what the relations of the database
// odd use: types, functions, roles.
func OddPrelude() string {
	before, _, _ := strings.Cut(oddSQL, "\n-----\n")
	return before
}

// CreateOdd makes the database "odd": relations whose definitions have every
// clause that there is.
func (c *Cluster) CreateOdd(ctx context.Context) error {
	if err := c.Exec(ctx, "postgres", "create database "+OddDatabase); err != nil {
		return err
	}
	return c.Exec(ctx, OddDatabase, oddSQL)
}
