package web

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/snapview/snapview/web/desk"
)

// maxQueryBatch is how many statements are saved by one request.
const maxQueryBatch = 1000

// listedSQL is how much of a statement a list of the history shows, in
// characters.
const listedSQL = 2000

var tabIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// desk is that of the person who asks.
func (s *Server) desk(c echo.Context) *desk.Desk { return s.desks.Of(userOf(c)) }

// deskProblem says what a desk refused.
func deskProblem(err error) error {
	switch {
	case errors.Is(err, desk.ErrNotFound):
		return problem(http.StatusNotFound, "not-found", err.Error())
	case errors.Is(err, desk.ErrFull):
		return problem(http.StatusConflict, "too-large", err.Error())
	case errors.Is(err, desk.ErrInvalid):
		return badRequest(err.Error())
	}
	return err
}

// A person is who asks.
type person struct {
	User    string `json:"user,omitempty"`
	Lasting bool   `json:"lasting"`
}

func (s *Server) getMe(c echo.Context) error {
	return c.JSON(http.StatusOK, person{userOf(c), s.desks.Lasting()})
}

func (s *Server) listSavedQueries(c echo.Context) error {
	list, err := s.desk(c).Queries()
	if err != nil {
		return deskProblem(err)
	}
	return c.JSON(http.StatusOK, items[desk.Query]{notNil(list)})
}

// savedQuery is what a client sends of a desk.Query.
type savedQuery struct {
	Name        string      `json:"name"`
	Description string      `json:"description"`
	Tags        []string    `json:"tags"`
	Database    string      `json:"database"`
	SQL         string      `json:"sql"`
	Chart       *desk.Chart `json:"chart"`
}

func (q savedQuery) query() desk.Query {
	return desk.Query{Name: q.Name, Description: q.Description, Tags: q.Tags, Database: q.Database, SQL: q.SQL, Chart: q.Chart}
}

func (s *Server) saveQueries(c echo.Context) error {
	var body items[savedQuery]
	if err := readBody(c, &body); err != nil {
		return err
	}
	if n := len(body.Items); n == 0 || n > maxQueryBatch {
		return badRequest("items must be 1 to " + strconv.Itoa(maxQueryBatch) + " statements")
	}
	list := make([]desk.Query, 0, len(body.Items))
	for _, q := range body.Items {
		list = append(list, q.query())
	}
	list, err := s.desk(c).Save(list)
	if err != nil {
		return deskProblem(err)
	}
	return c.JSON(http.StatusCreated, items[desk.Query]{list})
}

func (s *Server) replaceSavedQuery(c echo.Context) error {
	var body savedQuery
	if err := readBody(c, &body); err != nil {
		return err
	}
	q, err := s.desk(c).Replace(param(c, "qid"), body.query())
	if err != nil {
		return deskProblem(err)
	}
	return c.JSON(http.StatusOK, q)
}

func (s *Server) removeSavedQuery(c echo.Context) error {
	if err := s.desk(c).Remove(param(c, "qid")); err != nil {
		return deskProblem(err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) listTabs(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	list, err := s.desk(c).Tabs(session.Info().Reference)
	if err != nil {
		return deskProblem(err)
	}
	return c.JSON(http.StatusOK, items[desk.Tab]{notNil(list)})
}

func (s *Server) putTab(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	var body struct {
		Title    string      `json:"title"`
		Database string      `json:"database"`
		SQL      string      `json:"sql"`
		Position float64     `json:"position"`
		Saved    string      `json:"saved"`
		Chart    *desk.Chart `json:"chart"`
	}
	if err := readBody(c, &body); err != nil {
		return err
	}
	id := param(c, "tab")
	if !tabIDForm.MatchString(id) {
		return badRequest("a tab's id may have 1 to 64 letters, digits, - and _")
	}
	tab, err := s.desk(c).PutTab(session.Info().Reference, desk.Tab{
		ID: id, Title: body.Title, Database: body.Database, SQL: body.SQL, Position: body.Position, Saved: body.Saved, Chart: body.Chart,
	})
	if err != nil {
		return deskProblem(err)
	}
	return c.JSON(http.StatusOK, tab)
}

func (s *Server) removeTab(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	if err := s.desk(c).RemoveTab(session.Info().Reference, param(c, "tab")); err != nil {
		return deskProblem(err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) listHistory(c echo.Context) error {
	limit := 100
	if text := c.QueryParam("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return badRequest("limit must be 1 to 1000")
		}
		limit = n
	}
	page, err := s.desk(c).History(desk.Search{
		Text: c.QueryParam("q"), Database: c.QueryParam("database"), Reference: c.QueryParam("reference"), Before: c.QueryParam("before"), Limit: limit,
	})
	if err != nil {
		return deskProblem(err)
	}
	for i := range page.Items {
		if short := firstRunes(page.Items[i].SQL, listedSQL); short != page.Items[i].SQL {
			page.Items[i].SQL, page.Items[i].Cut = short, true
		}
	}
	return c.JSON(http.StatusOK, struct {
		Items []desk.Entry `json:"items"`
		Next  string       `json:"next,omitempty"`
	}{notNil(page.Items), page.Next})
}

func (s *Server) getHistoryEntry(c echo.Context) error {
	entry, err := s.desk(c).Entry(param(c, "eid"))
	if err != nil {
		return deskProblem(err)
	}
	return c.JSON(http.StatusOK, entry)
}

func (s *Server) forgetHistoryEntry(c echo.Context) error {
	return s.forget(c, param(c, "eid"))
}

func (s *Server) forgetHistory(c echo.Context) error { return s.forget(c, "") }

func (s *Server) forget(c echo.Context, id string) error {
	if err := s.desk(c).Forget(id); err != nil {
		return deskProblem(err)
	}
	return c.NoContent(http.StatusNoContent)
}

// remember adds a statement that a browser ran to its person's history. Programs
// on the control socket have a history of their own: the shell's.
func (s *Server) remember(c echo.Context, before Info, database, sql string, end queryEnd) {
	if isControl(c.Request().Context()) {
		return
	}
	e := desk.Entry{
		Time: time.Now().UTC(), Session: before.ID, Reference: before.Reference, Moment: before.Moment, Database: database,
		SQL: sql, Rows: end.Rows, Truncated: end.Truncated, Millis: end.Millis, Outcome: "ok",
	}
	if end.Error != nil {
		e.Outcome, e.Error = "failed", end.Error.Message
		if end.Error.Code == "cancelled" {
			e.Outcome = "cancelled"
		}
	}
	if err := s.desk(c).Record(e); err != nil {
		s.log.Warn("the history of statements is not kept", "session", before.ID, "error", err)
	}
}
