package main

import (
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

const connectTimeout = time.Second

var defaultDatabasePorts = map[string]string{
	"postgresql": "5432", "postgres": "5432", "redis": "6379", "rediss": "6379",
}

// reasonsNotReady is empty when the service can do its work now. Reasons are for people and never
// hold a secret. It opens a connection to the database, so it takes up to a second.
func reasonsNotReady(s settings) []string {
	if s.database == "none" {
		return nil
	}
	if s.databaseURLFile == "" {
		return []string{"DATABASE_URL_FILE is not set"}
	}
	// Read every time: the platform replaces the file when it rotates the password.
	content, err := os.ReadFile(s.databaseURLFile)
	if err != nil {
		return []string{"the file named by DATABASE_URL_FILE cannot be read"}
	}
	address, ok := databaseAddress(strings.TrimSpace(string(content)))
	if !ok {
		return []string{"the file named by DATABASE_URL_FILE does not hold a database URL"}
	}
	connection, err := net.DialTimeout("tcp", address, connectTimeout)
	if err != nil {
		return []string{"the database does not accept connections"}
	}
	_ = connection.Close()
	return nil
}

// databaseAddress is the host:port of a database URL; false when the URL names neither.
func databaseAddress(databaseURL string) (string, bool) {
	parts, err := url.Parse(databaseURL)
	if err != nil || parts.Hostname() == "" {
		return "", false
	}
	port := parts.Port()
	if port == "" {
		port = defaultDatabasePorts[parts.Scheme]
	}
	return net.JoinHostPort(parts.Hostname(), port), port != ""
}
