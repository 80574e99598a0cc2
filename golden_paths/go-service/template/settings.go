package main

import (
	"fmt"
	"strconv"
	"time"
)

// settings come from the environment, read once at start. Nothing else reads the environment.
type settings struct {
	host            string
	port            int
	version         string
	environment     string
	database        string
	databaseURLFile string
	shutdownDelay   time.Duration
}

// settingsFrom reads variables with get, such as os.Getenv. An empty variable counts as unset.
// The error names the variable the service cannot start with.
func settingsFrom(get func(name string) string) (settings, error) {
	port, err := number(get, "PORT", defaultPort, 65535)
	if err != nil {
		return settings{}, err
	}
	delaySeconds, err := number(get, "SHUTDOWN_DELAY_SECONDS", 0, 60)
	if err != nil {
		return settings{}, err
	}
	return settings{
		host:            text(get, "HOST", "127.0.0.1"),
		port:            port,
		version:         text(get, "SERVICE_VERSION", "unknown"),
		environment:     text(get, "ENVIRONMENT", "local"),
		database:        serviceDatabase,
		databaseURLFile: get("DATABASE_URL_FILE"),
		shutdownDelay:   time.Duration(delaySeconds) * time.Second,
	}, nil
}

func text(get func(string) string, name, standard string) string {
	if value := get(name); value != "" {
		return value
	}
	return standard
}

func number(get func(string) string, name string, standard, highest int) (int, error) {
	value := get(name)
	if value == "" {
		return standard, nil
	}
	parsed, err := strconv.ParseUint(value, 10, 31)
	if err != nil || int(parsed) > highest {
		return 0, fmt.Errorf("%s must be a whole number from 0 to %d", name, highest)
	}
	return int(parsed), nil
}
