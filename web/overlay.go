package web

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

type overlay struct {
	Now     Sample   `json:"now"`
	Stats   Stats    `json:"stats"`
	Samples []Sample `json:"samples"`
}

func (s *Server) getOverlay(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var since time.Time
	if v := c.QueryParam("since"); v != "" {
		if since, err = time.Parse(time.RFC3339Nano, v); err != nil {
			return badRequest("since is not a time: " + err.Error())
		}
	}
	samples, err := session.Samples(c.Request().Context(), since)
	if err != nil {
		return err
	}
	stats := session.Info().Stats
	return c.JSON(http.StatusOK, overlay{
		Now:   Sample{Time: time.Now().UTC(), OverlayBytes: stats.OverlayBytes, BackupBytesRead: stats.BackupBytesRead, Holding: stats.Holding},
		Stats: stats, Samples: notNil(samples),
	})
}

func (s *Server) getGrowth(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	g, err := session.Growth(c.Request().Context(), c.QueryParam("since"), c.QueryParam("until"))
	if err != nil {
		return err
	}
	g.Causes, g.Relations, g.Files = notNil(g.Causes), notNil(g.Relations), notNil(g.Files)
	return c.JSON(http.StatusOK, g)
}

func (s *Server) getGrowthSteps(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	steps, err := session.GrowthSteps(c.Request().Context(), c.QueryParam("since"), c.QueryParam("until"))
	if err != nil {
		return err
	}
	for i := range steps {
		steps[i].Causes, steps[i].Relations = notNil(steps[i].Causes), notNil(steps[i].Relations)
	}
	return c.JSON(http.StatusOK, items[GrowthStep]{Items: notNil(steps)})
}

func (s *Server) setLimit(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body struct {
		LimitBytes *int64 `json:"limitBytes"`
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	if body.LimitBytes == nil || *body.LimitBytes < 0 {
		return badRequest("limitBytes must be 0 or more")
	}
	if err := session.SetLimit(c.Request().Context(), *body.LimitBytes); err != nil {
		return err
	}
	s.auditAct(c, session.Info(), "limit", strconv.FormatInt(*body.LimitBytes, 10)+" bytes of overlay")
	return c.JSON(http.StatusOK, session.Info().Stats)
}

func (s *Server) listCheckpoints(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	list, err := session.Checkpoints(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items[Checkpoint]{Items: notNil(list)})
}

func (s *Server) createCheckpoint(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body struct {
		Name string `json:"name"`
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	checkpoint, err := session.Checkpoint(c.Request().Context(), body.Name)
	if err != nil {
		return err
	}
	s.auditAct(c, session.Info(), "checkpoint", strings.TrimSpace(checkpoint.ID+" "+checkpoint.Name))
	return c.JSON(http.StatusCreated, checkpoint)
}

func (s *Server) createFork(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body ForkOptions
	if err := readBody(c, &body); err != nil {
		return err
	}
	body.Owner = userOf(c)
	fork, err := session.Fork(c.Request().Context(), body)
	if err != nil {
		return err
	}
	what := "to read"
	if body.Writable {
		what = "writable"
	}
	s.auditAct(c, fork.Info(), "fork", what+", of session "+session.Info().ID+" at "+cmp.Or(body.Checkpoint, "a new checkpoint"))
	return c.JSON(http.StatusCreated, info(fork))
}
