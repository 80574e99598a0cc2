package main

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

var bucketsSeconds = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// metrics keeps counters and durations and prints them in Prometheus' text format.
type metrics struct {
	service string
	build   string

	mutex      sync.Mutex
	requests   map[string]int
	buckets    []int
	sumSeconds float64
}

func newMetrics(s settings) *metrics {
	return &metrics{
		service:  "service=" + label(serviceName),
		build:    "version=" + label(s.version) + ",environment=" + label(s.environment),
		requests: map[string]int{},
		buckets:  make([]int, len(bucketsSeconds)+1),
	}
}

func label(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value) + `"`
}

// observe counts a request. Every distinct label makes a series: pass a route of the service, never
// a raw path.
func (m *metrics) observe(method, route string, status int, seconds float64) {
	labels := fmt.Sprintf(`%s,method=%s,route=%s,status="%d"`, m.service, label(method), label(route), status)
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.requests[labels]++
	m.buckets[sort.SearchFloat64s(bucketsSeconds, seconds)]++
	m.sumSeconds += seconds
}

func (m *metrics) render() string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	var out strings.Builder
	fmt.Fprintln(&out, "# HELP service_build_info The version that runs.")
	fmt.Fprintln(&out, "# TYPE service_build_info gauge")
	fmt.Fprintf(&out, "service_build_info{%s,%s} 1\n", m.service, m.build)
	fmt.Fprintln(&out, "# HELP http_requests_total Requests answered, probes left out.")
	fmt.Fprintln(&out, "# TYPE http_requests_total counter")
	series := make([]string, 0, len(m.requests))
	for labels, count := range m.requests {
		series = append(series, fmt.Sprintf("http_requests_total{%s} %d\n", labels, count))
	}
	sort.Strings(series)
	out.WriteString(strings.Join(series, ""))
	fmt.Fprintln(&out, "# HELP http_request_duration_seconds Time to answer a request, probes left out.")
	fmt.Fprintln(&out, "# TYPE http_request_duration_seconds histogram")
	total := 0
	for index, count := range m.buckets {
		total += count
		limit := "+Inf"
		if index < len(bucketsSeconds) {
			limit = fmt.Sprint(bucketsSeconds[index])
		}
		fmt.Fprintf(&out, "http_request_duration_seconds_bucket{%s,le=%q} %d\n", m.service, limit, total)
	}
	fmt.Fprintf(&out, "http_request_duration_seconds_sum{%s} %.6f\n", m.service, m.sumSeconds)
	fmt.Fprintf(&out, "http_request_duration_seconds_count{%s} %d\n", m.service, total)
	return out.String()
}
