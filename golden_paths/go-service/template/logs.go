package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

type facts map[string]any

// logger writes one JSON object per line. Never pass it a URL with a password, a header or a body.
type logger struct {
	mutex  sync.Mutex
	output *json.Encoder
	about  facts
}

func newLogger(output io.Writer, s settings) *logger {
	about := facts{"service": serviceName, "version": s.version, "environment": s.environment}
	return &logger{output: json.NewEncoder(output), about: about}
}

func (l *logger) info(message string, given facts)  { l.write("info", message, given) }
func (l *logger) error(message string, given facts) { l.write("error", message, given) }

func (l *logger) write(level, message string, given facts) {
	line := facts{"time": time.Now().UTC().Format(time.RFC3339Nano), "level": level, "message": message}
	for _, more := range []facts{l.about, given} {
		for key, value := range more {
			line[key] = value
		}
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	// There is nowhere left to report that standard output is gone.
	_ = l.output.Encode(line)
}
