// The service: an HTTP server on the standard library.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const drainTimeout = 4 * time.Second

func main() {
	s, err := settingsFrom(os.Getenv)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Cannot start: %v.\n", err)
		os.Exit(2)
	}
	ctx, release := notifyContext()
	defer release()
	if err := run(ctx, s, os.Stdout, routes); err != nil {
		fmt.Fprintf(os.Stderr, "Cannot run: %v.\n", err)
		os.Exit(1)
	}
}

// notifyContext ends when the process is asked to stop.
func notifyContext() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
}

// run serves until ctx ends, then refuses, drains and returns.
func run(ctx context.Context, s settings, output io.Writer, given map[string]route) error {
	log := newLogger(output, s)
	handler := newService(s, log, given)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 15 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       60 * time.Second,
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.info("started", facts{"host": s.host, "port": listener.Addr().(*net.TCPAddr).Port})
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	handler.stopping.Store(true)
	log.info("stopping", nil)
	// The server goes on answering while whoever routes to it learns that it is not ready.
	time.Sleep(s.shutdownDelay)
	deadline, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	err = server.Shutdown(deadline)
	log.info("stopped", facts{"drained": err == nil})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // Reported above; the process ends on time either way.
	}
	return err
}
