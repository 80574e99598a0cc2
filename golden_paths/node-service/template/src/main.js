// Starts the service and stops it on SIGTERM or SIGINT: refuse, drain, leave.

import { setTimeout as delay } from "node:timers/promises";

import { createLog } from "./logs.js";
import { Service } from "./server.js";
import { settingsFrom, SettingsError } from "./settings.js";

const DRAIN_MS = 4000;

async function main() {
  const settings = settingsFrom(process.env);
  const log = createLog(settings);
  const stopped = new Promise((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
  const service = new Service(settings, { log });
  log.info("started", { host: settings.host, port: await service.start() });
  await stopped;
  service.announceStop();
  log.info("stopping");
  // The server goes on answering while whoever routes to it learns that it is not ready.
  await delay(settings.shutdownDelaySeconds * 1000);
  log.info("stopped", { drained: await service.stop({ drainMs: DRAIN_MS }) });
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SettingsError) && error.syscall !== "listen") throw error;
  process.stderr.write(`Cannot start: ${error.message}\n`);
  process.exitCode = error instanceof SettingsError ? 2 : 1;
}
