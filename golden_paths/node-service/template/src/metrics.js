// Counters and durations in Prometheus' text format. Keeps numbers; knows nothing of HTTP.

const BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

export function label(value) {
  return `"${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

export class Metrics {
  #service;
  #build;
  #requests = new Map();
  #buckets = new Array(BUCKETS_SECONDS.length + 1).fill(0);
  #sumSeconds = 0;

  constructor({ service, version, environment }) {
    this.#service = `service=${label(service)}`;
    this.#build = `version=${label(version)},environment=${label(environment)}`;
  }

  /** Every distinct label makes a series: pass a route of the service, never a raw path. */
  observe({ method, route, status, seconds }) {
    const labels = `${this.#service},method=${label(method)},route=${label(route)},status="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    const bucket = BUCKETS_SECONDS.findIndex((limit) => seconds <= limit);
    this.#buckets[bucket === -1 ? BUCKETS_SECONDS.length : bucket] += 1;
    this.#sumSeconds += seconds;
  }

  render() {
    const lines = [
      "# HELP service_build_info The version that runs.",
      "# TYPE service_build_info gauge",
      `service_build_info{${this.#service},${this.#build}} 1`,
      "# HELP http_requests_total Requests answered, probes left out.",
      "# TYPE http_requests_total counter",
      ...[...this.#requests].map(([labels, count]) => `http_requests_total{${labels}} ${count}`).sort(),
      "# HELP http_request_duration_seconds Time to answer a request, probes left out.",
      "# TYPE http_request_duration_seconds histogram",
    ];
    let total = 0;
    for (const [index, limit] of [...BUCKETS_SECONDS, "+Inf"].entries()) {
      total += this.#buckets[index];
      lines.push(`http_request_duration_seconds_bucket{${this.#service},le="${limit}"} ${total}`);
    }
    lines.push(`http_request_duration_seconds_sum{${this.#service}} ${this.#sumSeconds.toFixed(6)}`);
    lines.push(`http_request_duration_seconds_count{${this.#service}} ${total}`);
    return lines.join("\n") + "\n";
  }
}
