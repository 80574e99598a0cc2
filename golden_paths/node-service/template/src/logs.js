// Structured logs: one JSON object per line on standard output.
// Never pass a URL with a password, a header or a body.

import { NAME } from "./about.js";

export function createLog(settings, write = (line) => process.stdout.write(line)) {
  const about = { service: NAME, version: settings.version, environment: settings.environment };
  const log = (level) => (message, facts = {}) =>
    write(JSON.stringify({ time: new Date().toISOString(), level, message, ...about, ...facts }) + "\n");
  return { info: log("info"), error: log("error") };
}
