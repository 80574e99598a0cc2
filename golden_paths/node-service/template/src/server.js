// The HTTP server: finds the route, answers, measures, logs, and stops without dropping a request.

import { createServer } from "node:http";

import { NAME } from "./about.js";
import { Metrics } from "./metrics.js";
import { reasonsNotReady } from "./readiness.js";
import { routes as ownRoutes } from "./routes.js";

// Probes would drown what users do: they are neither counted nor logged.
const PROBES = new Set(["/healthz", "/readyz", "/metrics"]);
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);

export class Service {
  #settings;
  #log;
  #routes;
  #metrics;
  #server;
  #stopping = false;

  constructor(settings, { log, routes = ownRoutes }) {
    this.#settings = settings;
    this.#log = log;
    this.#routes = routes;
    this.#metrics = new Metrics({
      service: NAME,
      version: settings.version,
      environment: settings.environment,
    });
    this.#server = createServer({ requestTimeout: 15_000 });
    this.#server.on("request", (request, response) => this.#answer(request, response));
  }

  /** The port it listens on. Rejects when the port is taken. */
  start() {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(this.#settings.port, this.#settings.host, () => {
        this.#server.off("error", reject);
        resolve(this.#server.address().port);
      });
    });
  }

  /** From now on the service says that it is not ready; it goes on answering. */
  announceStop() {
    this.#stopping = true;
  }

  /** Takes no new connection and waits for the requests being answered. True when all were. */
  stop({ drainMs }) {
    this.announceStop();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        resolve(false);
        this.#server.closeAllConnections();
      }, drainMs);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve(true);
      });
      this.#server.closeIdleConnections();
    });
  }

  async #answer(request, response) {
    const started = process.hrtime.bigint();
    const path = request.url.split("?", 1)[0];
    const { status, body, type } = await this.#respond(request.method, path);
    const headers = {
      "Content-Type": type,
      "Content-Length": Buffer.byteLength(body),
      "Cache-Control": "no-store",
    };
    if (status === 405) headers.Allow = "GET, HEAD";
    if (this.#stopping) headers.Connection = "close";
    response.writeHead(status, headers).end(request.method === "HEAD" ? undefined : body);
    if (PROBES.has(path)) return;
    const seconds = Number(process.hrtime.bigint() - started) / 1e9;
    const method = METHODS.has(request.method) ? request.method : "other";
    const route = this.#routes.has(path) ? path : "unknown";
    this.#metrics.observe({ method, route, status, seconds });
    // The query is left out: people put tokens into it.
    this.#log.info("request", { method, path: path.slice(0, 200), status, seconds });
  }

  async #respond(method, path) {
    if (method !== "GET" && method !== "HEAD") return asJson(405, { error: "method not allowed" });
    if (path === "/healthz") return asJson(200, { status: "ok" });
    if (path === "/readyz") return this.#readiness();
    if (path === "/metrics") {
      return { status: 200, body: this.#metrics.render(), type: "text/plain; version=0.0.4; charset=utf-8" };
    }
    const route = this.#routes.get(path);
    if (!route) return asJson(404, { error: "not found" });
    try {
      const { status, value } = await route(this.#settings);
      return asJson(status, value);
    } catch (error) {
      // The border of the service: the client learns that it failed, the log learns why.
      this.#log.error("route failed", { route: path, exception: String(error?.stack ?? error) });
      return asJson(500, { error: "internal error" });
    }
  }

  async #readiness() {
    const reasons = this.#stopping ? ["the service is stopping"] : await reasonsNotReady(this.#settings);
    return reasons.length ? asJson(503, { status: "not ready", reasons }) : asJson(200, { status: "ready" });
  }
}

function asJson(status, value) {
  return { status, body: JSON.stringify(value) + "\n", type: "application/json" };
}
