package web

import (
	"net/http"

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

func (s *Server) mergeLayer(c echo.Context) error {
	session, err := s.session(c)
	if err != nil {
		return err
	}
	if err := session.MergeLayer(c.Request().Context(), param(c, "layer")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
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
	if err := session.DiscardLayer(c.Request().Context(), param(c, "layer"), branch == "true"); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
