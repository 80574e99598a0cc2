// The service as its callers see it: over HTTP, and as a process.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { NAME } from "../src/about.js";
import { createLog } from "../src/logs.js";
import { routes as ownRoutes } from "../src/routes.js";
import { Service } from "../src/server.js";
import { settingsFrom, SettingsError } from "../src/settings.js";

const SETTINGS = {
  ...settingsFrom({ PORT: "0", SERVICE_VERSION: "abc1234", ENVIRONMENT: "test" }),
  database: "none",
};
const silent = createLog(SETTINGS, () => {});

async function serving(settings, use, routes = ownRoutes) {
  const service = new Service(settings, { log: silent, routes });
  const address = `http://127.0.0.1:${await service.start()}`;
  try {
    return await use(address, service);
  } finally {
    await service.stop({ drainMs: 2000 });
  }
}

async function listener() {
  const server = createServer((socket) => socket.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

describe("endpoints", () => {
  it("index names service, version and environment", () =>
    serving(SETTINGS, async (address) => {
      const response = await fetch(`${address}/?token=x`);
      assert.equal(response.status, 200);
      assert.deepEqual(await response.json(), { service: NAME, version: "abc1234", environment: "test" });
    }));

  it("healthz is ok even when not ready", () =>
    serving({ ...SETTINGS, database: "postgresql" }, async (address) => {
      assert.equal((await fetch(`${address}/healthz`)).status, 200);
    }));

  it("unknown path is not found", () =>
    serving(SETTINGS, async (address) => {
      assert.equal((await fetch(`${address}/nothing`)).status, 404);
    }));

  it("other method is refused with those allowed", () =>
    serving(SETTINGS, async (address) => {
      const response = await fetch(`${address}/`, { method: "POST", body: "x" });
      assert.equal(response.status, 405);
      assert.equal(response.headers.get("allow"), "GET, HEAD");
    }));

  it("failing route is an error without details", () => {
    const broken = () => {
      throw new Error("the password is hunter2");
    };
    return serving(
      SETTINGS,
      async (address) => {
        const response = await fetch(`${address}/broken`);
        assert.equal(response.status, 500);
        assert.ok(!(await response.text()).includes("hunter2"));
      },
      new Map([["/broken", broken]]),
    );
  });

  it("metrics count requests but not probes", () =>
    serving(SETTINGS, async (address) => {
      for (const path of ["/", "/", "/nothing", "/random", "/healthz", "/readyz"]) {
        await (await fetch(address + path)).text();
      }
      const response = await fetch(`${address}/metrics`);
      assert.match(response.headers.get("content-type"), /^text\/plain; version=0\.0\.4/);
      const body = await response.text();
      assert.ok(body.includes(`http_requests_total{service="${NAME}",method="GET",route="/",status="200"} 2`));
      assert.ok(body.includes('route="unknown",status="404"} 2'));
      assert.ok(body.includes(`http_request_duration_seconds_count{service="${NAME}"} 4`));
      assert.ok(body.includes('version="abc1234",environment="test"} 1'));
      assert.ok(!body.includes("healthz"));
    }));
});

describe("readiness", () => {
  const readyz = (settings) =>
    serving(settings, async (address) => {
      const response = await fetch(`${address}/readyz`);
      return { status: response.status, body: await response.text() };
    });

  async function readyzWithUrl(url) {
    const folder = await mkdtemp(join(tmpdir(), "service-"));
    try {
      const databaseUrlFile = join(folder, "url");
      await writeFile(databaseUrlFile, url);
      return await readyz({ ...SETTINGS, database: "postgresql", databaseUrlFile });
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  it("ready without a database", async () => {
    assert.equal((await readyz(SETTINGS)).status, 200);
  });

  it("ready when the database accepts connections", async () => {
    const database = await listener();
    try {
      const url = `postgresql://u:hunter2@127.0.0.1:${database.address().port}/orders\n`;
      assert.equal((await readyzWithUrl(url)).status, 200);
    } finally {
      database.close();
    }
  });

  it("not ready when the database is down, and the password stays secret", async () => {
    const database = await listener();
    const { port } = database.address();
    database.close();
    await once(database, "close");
    const { status, body } = await readyzWithUrl(`postgresql://u:hunter2@127.0.0.1:${port}/orders`);
    assert.equal(status, 503);
    assert.deepEqual(JSON.parse(body).reasons, ["the database does not accept connections"]);
  });

  for (const url of ["", "hunter2", "postgresql:///orders", "postgresql://h:99999999/x", "postgresql://[hunter2"]) {
    it(`not ready with the URL "${url}"`, async () => {
      const { status, body } = await readyzWithUrl(url);
      assert.equal(status, 503);
      assert.ok(!body.includes("hunter2"));
    });
  }

  it("not ready without the file", async () => {
    const settings = { ...SETTINGS, database: "redis", databaseUrlFile: null };
    assert.match((await readyz(settings)).body, /DATABASE_URL_FILE is not set/);
    assert.match((await readyz({ ...settings, databaseUrlFile: "/nonexistent/url" })).body, /cannot be read/);
  });

  it("not ready while stopping", () =>
    serving(SETTINGS, async (address, service) => {
      service.announceStop();
      const response = await fetch(`${address}/readyz`);
      assert.equal(response.status, 503);
      assert.match(await response.text(), /stopping/);
    }));
});

describe("start", () => {
  it("settings come from the environment", () => {
    const settings = settingsFrom({ PORT: "9000", SERVICE_VERSION: "v1", ENVIRONMENT: "staging", HOST: "" });
    assert.equal(settings.port, 9000);
    assert.equal(settings.version, "v1");
    assert.equal(settings.environment, "staging");
    assert.equal(settings.host, "127.0.0.1");
  });

  it("a wrong port is named", () => {
    for (const port of ["http", "-1", "70000", "²"]) {
      const named = (error) => error instanceof SettingsError && /PORT/.test(error.message);
      assert.throws(() => settingsFrom({ PORT: port }), named);
    }
  });

  it("a log line is one JSON object", () => {
    const lines = [];
    createLog(SETTINGS, (line) => lines.push(line)).info("two\nlines");
    assert.equal(lines[0].indexOf("\n"), lines[0].length - 1);
    assert.equal(JSON.parse(lines[0]).message, "two\nlines");
  });
});

describe("stop", () => {
  it("a request being answered is finished", async () => {
    let entered;
    let release;
    const inRoute = new Promise((resolve) => (entered = resolve));
    const released = new Promise((resolve) => (release = resolve));
    const slow = async () => {
      entered();
      await released;
      return { status: 200, value: {} };
    };
    const service = new Service(SETTINGS, { log: silent, routes: new Map([["/slow", slow]]) });
    const answer = fetch(`http://127.0.0.1:${await service.start()}/slow`);
    await inRoute;
    const drained = service.stop({ drainMs: 5000 });
    release();
    assert.equal((await answer).status, 200);
    assert.equal(await drained, true);
  });

  it("SIGTERM ends the process cleanly", async () => {
    const main = fileURLToPath(new URL("../src/main.js", import.meta.url));
    const env = { ...process.env, PORT: "0", SERVICE_VERSION: "abc1234", SHUTDOWN_DELAY_SECONDS: "" };
    const child = spawn(process.execPath, [main], { env, stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    const lines = [];
    for await (const line of createInterface({ input: child.stdout })) {
      lines.push(JSON.parse(line));
      if (lines.length > 1) continue;
      assert.equal(lines[0].message, "started");
      assert.equal(lines[0].version, "abc1234");
      assert.equal((await fetch(`http://127.0.0.1:${lines[0].port}/healthz`)).status, 200);
      child.kill("SIGTERM");
    }
    assert.deepEqual(await exited, [0, null]);
    assert.equal(lines.at(-1).message, "stopped");
  });
});
