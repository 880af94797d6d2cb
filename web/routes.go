package web

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// handler returns all routes behind the guard.
func (s *Server) handler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(logWriter{s.log})
	e.HTTPErrorHandler = s.handleError
	e.Use(s.logRequests, boundAnswers, s.recoverPanics, s.guard, s.joinFirstAsk)
	e.GET("/auth", s.login)
	e.POST("/login", s.logIn)
	s.routes(e.Group("/api/v1"))
	e.GET("/*", s.serveAsset)
	e.HEAD("/*", s.serveAsset)
	return e
}

func (s *Server) routes(g *echo.Group) {
	g.GET("/healthz", s.getHealth)
	g.GET("/version", s.getVersion)
	g.GET("/openapi.yaml", s.getContract)

	g.POST("/login-link", s.makeLoginLink)
	g.GET("/me", s.getMe)
	g.GET("/queries", s.listSavedQueries)
	g.POST("/queries", s.saveQueries)
	g.PUT("/queries/:qid", s.replaceSavedQuery)
	g.DELETE("/queries/:qid", s.removeSavedQuery)
	g.GET("/history", s.listHistory)
	g.DELETE("/history", s.forgetHistory)
	g.GET("/history/:eid", s.getHistoryEntry)
	g.DELETE("/history/:eid", s.forgetHistoryEntry)
	g.GET("/sessions/:id/tabs", s.listTabs)
	g.PUT("/sessions/:id/tabs/:tab", s.putTab)
	g.DELETE("/sessions/:id/tabs/:tab", s.removeTab)

	g.GET("/catalogue", s.listCatalogue)
	g.POST("/catalogue/refresh", s.refreshCatalogue)
	g.GET("/catalogue/preflight", s.getPreflight)

	g.GET("/sessions", s.listSessions)
	g.POST("/sessions", s.openSession)
	g.GET("/sessions/:id", s.getSession)
	g.DELETE("/sessions/:id", s.owned(s.closeSession))
	g.GET("/sessions/:id/snapshot", s.getSnapshot)
	g.GET("/sessions/:id/events", s.streamEvents)

	g.GET("/sessions/:id/overlay", s.getOverlay)
	g.GET("/sessions/:id/growth", s.getGrowth)
	g.GET("/sessions/:id/growth/steps", s.getGrowthSteps)
	g.PUT("/sessions/:id/limit", s.owned(s.setLimit))
	g.PUT("/sessions/:id/time-to-live", s.owned(s.keepSession))
	g.POST("/sessions/:id/login-link", s.makeSessionLink)
	g.GET("/sessions/:id/checkpoints", s.listCheckpoints)
	g.POST("/sessions/:id/checkpoints", s.owned(s.createCheckpoint))
	g.POST("/sessions/:id/forks", s.owned(s.createFork))
	g.GET("/sessions/:id/layers", s.listLayers)
	g.DELETE("/sessions/:id/layers/:layer", s.owned(s.discardLayer))
	g.POST("/sessions/:id/layers/:layer/merge", s.owned(s.mergeLayer))
	g.GET("/sessions/:id/disk", s.getDisk)
	g.GET("/sessions/:id/disk/extents", s.getDiskExtents)

	g.GET("/sessions/:id/databases", s.listDatabases)
	db := g.Group("/sessions/:id/databases/:db")
	db.GET("/schemas", s.listSchemas)
	db.GET("/relations", s.listRelations)
	db.GET("/completion", s.getCompletion)
	db.GET("/search", s.searchDatabase)
	db.GET("/schemas/:schema/relations/:name", s.getRelationByName)
	db.GET("/relations/:oid", s.getRelation)
	db.GET("/relations/:oid/count", s.countRows)
	db.GET("/relations/:oid/rows", s.listRows)
	db.GET("/relations/:oid/cell", s.getCell)
	db.GET("/relations/:oid/facets", s.listFacets)
	db.GET("/objects", s.listObjects)
	db.GET("/objects/:kind/:oid", s.getObject)
	db.GET("/byte-columns", s.listByteColumns)
	db.GET("/large-objects", s.listLargeObjects)
	db.GET("/large-objects/:oid", s.getLargeObject)
	db.POST("/query", s.runQuery)
	db.POST("/export", s.runExport)
	db.POST("/exports", s.createExport)
	db.POST("/exports/preview", s.previewExport)
	db.POST("/dumps", s.createDump)
	g.GET("/sessions/:id/exports", s.listDownloads)
	g.GET("/sessions/:id/exports/:eid", s.downloadExport)
	g.DELETE("/sessions/:id/exports/:eid", s.cancelDownload)
	g.GET("/sessions/:id/queries", s.listQueries)
	g.DELETE("/sessions/:id/queries/:qid", s.cancelQuery)
}
