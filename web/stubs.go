package web

import "github.com/labstack/echo/v4"

func (s *Server) countRows(echo.Context) error      { return ErrNotSupported }
func (s *Server) listRows(echo.Context) error       { return ErrNotSupported }
func (s *Server) getCell(echo.Context) error        { return ErrNotSupported }
func (s *Server) runExport(echo.Context) error      { return ErrNotSupported }
func (s *Server) createExport(echo.Context) error   { return ErrNotSupported }
func (s *Server) downloadExport(echo.Context) error { return ErrNotSupported }

type tickets struct{}

func newTickets() *tickets { return &tickets{} }
