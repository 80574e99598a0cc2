/**
 * The playground's browser API, one method per route. It knows HTTP and nothing of the page.
 */

/** The server refused a request; `message` is fit to be shown. */
export class RefusedError extends Error {}

/** The server could not be reached. */
export class UnreachableError extends Error {}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (cause) {
    throw new UnreachableError("The playground does not answer.", { cause });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new RefusedError(body.message ?? body.error ?? `The playground answered ${response.status}.`);
  return body;
}

function get(route, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  return call(`/_client/${route}?${new URLSearchParams(given)}`);
}

function post(route, body) {
  return call(`/_client/${route}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

export const api = {
  workspace: () => get("workspace"),
  sidebar: (as) => get("sidebar", { as }),
  history: (as, channel, before) => get("history", { as, channel, before, limit: 50 }),
  thread: (as, channel, threadTs) => get("thread", { as, channel, thread_ts: threadTs }),
  views: (as) => get("views", { as }),
  home: (as) => post("home", { as }),
  read: (as, channel, ts) => post("read", { as, channel, ts }),
  send: (as, channel, text, threadTs) => post("send", { as, channel, text, ...(threadTs && { thread_ts: threadTs }) }),
  action: (as, container, action, state) =>
    post("action", { as, container, block_id: action.block_id, action_id: action.action_id, action, state }),
  suggest: (as, container, blockId, actionId, value) =>
    post("suggest", { as, container, block_id: blockId, action_id: actionId, value }),
  submitView: (as, viewId, state) => post("view/submit", { as, view_id: viewId, state }),
  closeView: (as, viewId, clear) => post("view/close", { as, view_id: viewId, clear }),
};
