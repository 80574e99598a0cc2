/**
 * The page's state and who wants to hear of which part of it. It holds values only: it neither asks the server nor touches the DOM.
 */
export class Store {
  #listeners = [];

  constructor(initial) {
    this.state = { ...initial };
  }

  /** Calls `listener(state)` once per update that touches any of `keys`. */
  on(keys, listener) {
    this.#listeners.push({ keys, listener });
  }

  update(patch) {
    Object.assign(this.state, patch);
    for (const { keys, listener } of this.#listeners) {
      if (keys.some((key) => key in patch)) listener(this.state);
    }
  }
}

export function initialState() {
  return {
    workspace: null,
    app: null,
    commands: [],
    directory: null,
    as: null,
    sidebar: { channels: [], direct: [] },
    channel: null,
    tab: "messages",
    messages: [],
    hasMore: false,
    loading: true,
    thread: null,
    sought: null,
    views: [],
    home: null,
    homeLoaded: false,
    online: true,
    connected: true,
    drawer: false,
  };
}

/** The channel of this id among all that the acting person sees, or null. */
export function findChannel(sidebar, id) {
  return [...sidebar.channels, ...sidebar.direct].find((channel) => channel.id === id) ?? null;
}

/** `messages` with `message` put in by its ts: replaced where it is, else added in order. */
export function withMessage(messages, message) {
  const at = messages.findIndex((known) => known.ts === message.ts);
  if (at >= 0) return messages.map((known, index) => (index === at ? message : known));
  const after = messages.findIndex((known) => Number(known.ts) > Number(message.ts));
  return after < 0 ? [...messages, message] : [...messages.slice(0, after), message, ...messages.slice(after)];
}

export function withoutMessage(messages, ts) {
  return messages.filter((known) => known.ts !== ts);
}
