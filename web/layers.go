package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

func (s *Server) listLayers(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	list, err := session.Layers(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items[Layer]{Items: notNil(list)})
}

// mergeLayer answers when the layers are one, or tells on the way how far it
// is, to those that ask for it. The merge ends with the request.
func (s *Server) mergeLayer(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	ctx, layer := c.Request().Context(), param(c, "layer")
	if !strings.Contains(c.Request().Header.Get("Accept"), ndjsonMediaType) {
		if err := session.MergeLayer(ctx, layer, nil); err != nil {
			return err
		}
		s.auditAct(c, session.Info(), "merge", "the layer below into "+layer)
		return c.NoContent(http.StatusNoContent)
	}
	frames := mergeFrames{w: c.Response()}
	err = session.MergeLayer(ctx, layer, frames.progress)
	if err != nil && !frames.w.Committed {
		return err
	}
	var end mergeEnd
	if err != nil {
		end.Error = problemOf(err, "")
	} else {
		s.auditAct(c, session.Info(), "merge", "the layer below into "+layer)
	}
	frames.send(map[string]any{"end": end})
	return nil
}

type mergeEnd struct {
	Error *Problem `json:"error,omitempty"`
}

// mergeFrames tells how far a merge is, at most ten times a second.
type mergeFrames struct {
	w    *echo.Response
	told time.Time
}

func (f *mergeFrames) progress(done, total int64) {
	if f.w.Committed && done < total && time.Since(f.told) < 100*time.Millisecond {
		return
	}
	f.told = time.Now()
	f.send(map[string]any{"progress": map[string]int64{"doneBytes": done, "totalBytes": total}})
}

// send sends one line. Nobody may be there any more: then ctx ends the merge.
func (f *mergeFrames) send(frame any) {
	if !f.w.Committed {
		f.w.Header().Set("Content-Type", ndjsonMediaType)
		f.w.Header().Set("X-Accel-Buffering", "no")
		f.w.WriteHeader(http.StatusOK)
	}
	if err := json.NewEncoder(f.w).Encode(frame); err == nil {
		f.w.Flush()
	}
}

func (s *Server) discardLayer(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	branch := c.QueryParam("branch")
	if branch != "" && branch != "true" && branch != "false" {
		return badRequest("branch must be true or false")
	}
	layer := param(c, "layer")
	if err := session.DiscardLayer(c.Request().Context(), layer, branch == "true"); err != nil {
		return err
	}
	what := "layer " + layer
	if branch == "true" {
		what += " and those over it"
	}
	s.auditAct(c, session.Info(), "discard", what)
	return c.NoContent(http.StatusNoContent)
}
