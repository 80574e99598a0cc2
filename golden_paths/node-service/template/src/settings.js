// Settings from the environment, read once at start. Nothing else reads the environment.

import { DATABASE, DEFAULT_PORT } from "./about.js";

/** A variable holds something the service cannot start with. The message names it. */
export class SettingsError extends Error {}

/** Throws SettingsError. An empty variable counts as unset. */
export function settingsFrom(environment) {
  return Object.freeze({
    host: environment.HOST || "127.0.0.1",
    port: number(environment, "PORT", { standard: DEFAULT_PORT, highest: 65535 }),
    version: environment.SERVICE_VERSION || "unknown",
    environment: environment.ENVIRONMENT || "local",
    database: DATABASE,
    databaseUrlFile: environment.DATABASE_URL_FILE || null,
    shutdownDelaySeconds: number(environment, "SHUTDOWN_DELAY_SECONDS", { standard: 0, highest: 60 }),
  });
}

function number(environment, name, { standard, highest }) {
  const text = environment[name] || String(standard);
  if (!/^[0-9]{1,9}$/.test(text) || Number(text) > highest) {
    throw new SettingsError(`${name} must be a whole number from 0 to ${highest}.`);
  }
  return Number(text);
}
