package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func testSettings() settings {
	return settings{host: "127.0.0.1", version: "abc1234", environment: "test", database: "none"}
}

func newTestService(s settings, given map[string]route) *service {
	return newService(s, newLogger(io.Discard, s), given)
}

func ask(handler http.Handler, method, path string) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	handler.ServeHTTP(response, httptest.NewRequest(method, path, nil))
	return response
}

func contains(t *testing.T, body, part string) {
	t.Helper()
	if !strings.Contains(body, part) {
		t.Errorf("%q is missing in:\n%s", part, body)
	}
}

func TestIndexNamesServiceVersionAndEnvironment(t *testing.T) {
	response := ask(newTestService(testSettings(), routes), "GET", "/?token=x")
	want := map[string]string{"service": serviceName, "version": "abc1234", "environment": "test"}
	got := map[string]string{}
	if err := json.Unmarshal(response.Body.Bytes(), &got); err != nil || response.Code != 200 {
		t.Fatalf("status %d, %v", response.Code, err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestStatuses(t *testing.T) {
	withoutDatabase := testSettings()
	withoutDatabase.database = "postgresql"
	handler := newTestService(withoutDatabase, routes)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200}, // Also when the service is not ready.
		{"GET", "/readyz", 503},
		{"GET", "/nothing", 404},
		{"POST", "/", 405},
	} {
		if response := ask(handler, c.method, c.path); response.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, response.Code, c.status)
		}
	}
}

func TestOtherMethodIsRefusedWithThoseAllowed(t *testing.T) {
	response := ask(newTestService(testSettings(), routes), "POST", "/")
	if allow := response.Header().Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow: %q", allow)
	}
}

func TestFailingRouteIsAnErrorWithoutDetails(t *testing.T) {
	broken := map[string]route{
		"/panics":  func(settings, *http.Request) (int, any) { panic("the password is hunter2") },
		"/no-json": func(settings, *http.Request) (int, any) { return 200, make(chan int) },
	}
	for path := range broken {
		response := ask(newTestService(testSettings(), broken), "GET", path)
		if response.Code != 500 || strings.Contains(response.Body.String(), "hunter2") {
			t.Errorf("%s: %d %s", path, response.Code, response.Body)
		}
	}
}

func TestMetricsCountRequestsButNotProbes(t *testing.T) {
	handler := newTestService(testSettings(), routes)
	for _, path := range []string{"/", "/", "/nothing", "/random", "/healthz", "/readyz"} {
		ask(handler, "GET", path)
	}
	response := ask(handler, "GET", "/metrics")
	body := response.Body.String()
	contains(t, response.Header().Get("Content-Type"), "text/plain; version=0.0.4")
	contains(t, body, `http_requests_total{service="`+serviceName+`",method="GET",route="/",status="200"} 2`)
	contains(t, body, `route="unknown",status="404"} 2`)
	contains(t, body, `http_request_duration_seconds_count{service="`+serviceName+`"} 4`)
	contains(t, body, `version="abc1234",environment="test"} 1`)
	if strings.Contains(body, "healthz") {
		t.Error("probes are counted")
	}
}

func readyz(s settings) (int, string) {
	response := ask(newTestService(s, routes), "GET", "/readyz")
	return response.Code, response.Body.String()
}

func withURL(t *testing.T, databaseURL string) settings {
	t.Helper()
	s := testSettings()
	s.database = "postgresql"
	s.databaseURLFile = filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(s.databaseURLFile, []byte(databaseURL), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReadyWithoutADatabase(t *testing.T) {
	if status, body := readyz(testSettings()); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

func TestReadinessFollowsTheDatabase(t *testing.T) {
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := withURL(t, "postgresql://u:hunter2@"+database.Addr().String()+"/orders\n")
	if status, body := readyz(s); status != 200 {
		t.Errorf("database up: %d %s", status, body)
	}
	_ = database.Close()
	status, body := readyz(s)
	if status != 503 || strings.Contains(body, "hunter2") {
		t.Errorf("database down: %d %s", status, body)
	}
	contains(t, body, "the database does not accept connections")
}

func TestNotReadyWithoutAUsableURL(t *testing.T) {
	for _, databaseURL := range []string{
		"", "hunter2", "postgresql:///orders", "postgresql://h:99999999/x", "postgresql://[hunter2",
	} {
		status, body := readyz(withURL(t, databaseURL))
		if status != 503 || strings.Contains(body, "hunter2") {
			t.Errorf("%q: %d %s", databaseURL, status, body)
		}
	}
}

func TestNotReadyWithoutTheFile(t *testing.T) {
	s := testSettings()
	s.database = "redis"
	_, body := readyz(s)
	contains(t, body, "DATABASE_URL_FILE is not set")
	s.databaseURLFile = "/nonexistent/url"
	_, body = readyz(s)
	contains(t, body, "cannot be read")
}

func TestNotReadyWhileStopping(t *testing.T) {
	handler := newTestService(testSettings(), routes)
	handler.stopping.Store(true)
	response := ask(handler, "GET", "/readyz")
	if response.Code != 503 {
		t.Errorf("status %d", response.Code)
	}
	contains(t, response.Body.String(), "stopping")
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	given := map[string]string{"PORT": "9000", "SERVICE_VERSION": "v1", "ENVIRONMENT": "staging"}
	s, err := settingsFrom(func(name string) string { return given[name] })
	if err != nil || s.port != 9000 || s.version != "v1" || s.environment != "staging" || s.host != "127.0.0.1" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAWrongPortIsNamed(t *testing.T) {
	for _, port := range []string{"http", "-1", "70000", "²"} {
		_, err := settingsFrom(func(string) string { return port })
		if err == nil || !strings.Contains(err.Error(), "PORT") {
			t.Errorf("%q: %v", port, err)
		}
	}
}

func TestALogLineIsOneJSONObject(t *testing.T) {
	var out strings.Builder
	newLogger(&out, testSettings()).info("two\nlines", nil)
	if strings.Count(out.String(), "\n") != 1 || !json.Valid([]byte(out.String())) {
		t.Error(out.String())
	}
}

// start runs the service until ctx ends; it gives the address, and run's result when it is over.
func start(ctx context.Context, t *testing.T, given map[string]route) (string, <-chan error) {
	t.Helper()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, testSettings(), writer, given) }()
	lines := bufio.NewScanner(reader)
	if !lines.Scan() {
		t.Fatal("the service did not start")
	}
	var started struct{ Port int }
	if err := json.Unmarshal(lines.Bytes(), &started); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	return fmt.Sprintf("http://127.0.0.1:%d", started.Port), ended
}

func TestARequestBeingAnsweredIsFinished(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	entered, release := make(chan bool), make(chan bool)
	slow := func(settings, *http.Request) (int, any) {
		entered <- true
		<-release
		return 200, nil
	}
	address, ended := start(ctx, t, map[string]route{"/slow": slow})
	answered := make(chan int, 1)
	go func() {
		response, err := http.Get(address + "/slow")
		if err != nil {
			answered <- 0
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	<-entered
	stop()
	release <- true
	if status := <-answered; status != 200 {
		t.Errorf("status %d", status)
	}
	within(t, ended)
}

func TestSIGTERMEndsTheServiceCleanly(t *testing.T) {
	ctx, release := notifyContext()
	defer release()
	address, ended := start(ctx, t, routes)
	response, err := http.Get(address + "/healthz")
	if err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	_ = response.Body.Close()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, ended)
}

func within(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the service did not stop within five seconds")
	}
}
