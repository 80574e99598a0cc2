// What the service answers. Add your endpoints here: a function, and a line in `routes`.
// A route takes the settings and gives, or promises, the status and what to send as JSON.

import { NAME } from "./about.js";

function index(settings) {
  return {
    status: 200,
    value: { service: NAME, version: settings.version, environment: settings.environment },
  };
}

export const routes = new Map([["/", index]]);
