// Whether the service can do its work now. Reasons are for people and never hold a secret.

import { readFile } from "node:fs/promises";
import { connect } from "node:net";

export const CONNECT_TIMEOUT_MS = 1000;
const DEFAULT_PORTS = { "postgresql:": 5432, "postgres:": 5432, "redis:": 6379, "rediss:": 6379 };

/** Empty when ready. Opens a connection to the database, so it takes up to a second. */
export async function reasonsNotReady(settings) {
  if (settings.database === "none") return [];
  if (!settings.databaseUrlFile) return ["DATABASE_URL_FILE is not set"];
  let url;
  try {
    // Read every time: the platform replaces the file when it rotates the password.
    url = (await readFile(settings.databaseUrlFile, "utf8")).trim();
  } catch {
    return ["the file named by DATABASE_URL_FILE cannot be read"];
  }
  const address = databaseAddress(url);
  if (!address) return ["the file named by DATABASE_URL_FILE does not hold a database URL"];
  return (await accepts(address)) ? [] : ["the database does not accept connections"];
}

/** Host and port of a database URL, or null when it names neither. */
export function databaseAddress(url) {
  let parts;
  try {
    parts = new URL(url);
  } catch {
    return null;
  }
  const host = parts.hostname.replace(/^\[|\]$/g, ""); // An IPv6 address comes in brackets.
  const port = Number(parts.port) || DEFAULT_PORTS[parts.protocol];
  return host && port ? { host, port } : null;
}

function accepts({ host, port }) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    // Bounds resolving the name and connecting together.
    const timer = setTimeout(() => finish(false), CONNECT_TIMEOUT_MS);
    const finish = (accepted) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(accepted);
    };
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
  });
}
