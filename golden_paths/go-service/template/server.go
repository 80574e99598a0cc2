package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Probes would drown what users do: they are neither counted nor logged.
var probes = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

var methods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true,
}

// service finds the route, answers, measures and logs.
type service struct {
	settings settings
	routes   map[string]route
	log      *logger
	metrics  *metrics
	stopping atomic.Bool
}

type answer struct {
	status      int
	contentType string
	body        []byte
}

func newService(s settings, log *logger, given map[string]route) *service {
	return &service{settings: s, routes: given, log: log, metrics: newMetrics(s)}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	path := r.URL.Path
	given := s.respond(r)
	w.Header().Set("Content-Type", given.contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(given.body)))
	w.Header().Set("Cache-Control", "no-store")
	if given.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "GET, HEAD")
	}
	if s.stopping.Load() {
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(given.status)
	// The net/http server leaves out the body of an answer to HEAD; a client that has gone is no fault.
	_, _ = w.Write(given.body)
	if probes[path] {
		return
	}
	seconds := time.Since(started).Seconds()
	method, routeName := r.Method, "unknown"
	if !methods[method] {
		method = "other"
	}
	if s.routes[path] != nil {
		routeName = path
	}
	s.metrics.observe(method, routeName, given.status, seconds)
	// The query is left out: people put tokens into it.
	s.log.info("request", facts{"method": method, "path": shortened(path), "status": given.status, "seconds": seconds})
}

func (s *service) respond(r *http.Request) (given answer) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return asJSON(http.StatusMethodNotAllowed, facts{"error": "method not allowed"})
	}
	switch r.URL.Path {
	case "/healthz":
		return asJSON(http.StatusOK, facts{"status": "ok"})
	case "/readyz":
		return s.readiness()
	case "/metrics":
		return answer{http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", []byte(s.metrics.render())}
	}
	found := s.routes[r.URL.Path]
	if found == nil {
		return asJSON(http.StatusNotFound, facts{"error": "not found"})
	}
	// The border of the service: the client learns that it failed, the log learns why.
	defer func() {
		if cause := recover(); cause != nil {
			s.log.error("route failed", facts{"exception": fmt.Sprint(cause), "stack": string(debug.Stack())})
			given = asJSON(http.StatusInternalServerError, facts{"error": "internal error"})
		}
	}()
	return asJSON(found(s.settings, r))
}

func (s *service) readiness() answer {
	reasons := []string{"the service is stopping"}
	if !s.stopping.Load() {
		reasons = reasonsNotReady(s.settings)
	}
	if len(reasons) > 0 {
		return asJSON(http.StatusServiceUnavailable, facts{"status": "not ready", "reasons": reasons})
	}
	return asJSON(http.StatusOK, facts{"status": "ready"})
}

func asJSON(status int, value any) answer {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // A route gave a value that JSON does not know; respond turns it into a 500.
	}
	return answer{status, "application/json", append(body, '\n')}
}

func shortened(path string) string {
	if len(path) > 200 {
		return path[:200]
	}
	return path
}
