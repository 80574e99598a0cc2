package main

import "net/http"

// route takes the request and gives the status and what to send as JSON.
type route func(s settings, r *http.Request) (status int, value any)

// routes are what the service answers. Add your endpoints here.
var routes = map[string]route{
	"/": index,
}

func index(s settings, _ *http.Request) (int, any) {
	return http.StatusOK, map[string]string{
		"service":     serviceName,
		"version":     s.version,
		"environment": s.environment,
	}
}
