/**
 * The stream of events of one acting person: a WebSocket that comes back by itself. It delivers frames and says up or down.
 */
const FIRST_DELAY_MS = 400;
const LONGEST_DELAY_MS = 6000;

export class EventStream {
  #socket = null;
  #timer = null;
  #delay = FIRST_DELAY_MS;

  /** @param {{onEvent: function(Object), onUp: function(), onDown: function()}} handlers */
  constructor(handlers) {
    this.handlers = handlers;
  }

  /** Listens as `person` from now on; an older connection is dropped without a word. */
  open(person) {
    this.close();
    this.#connect(person);
  }

  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #connect(person) {
    const url = new URL("/_client/events", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("as", person);
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      const event = JSON.parse(data);
      if (event.type === "hello") {
        this.#delay = FIRST_DELAY_MS;
        this.handlers.onUp();
      } else {
        this.handlers.onEvent(event);
      }
    });
    socket.addEventListener("close", () => {
      if (socket !== this.#socket) return;
      this.handlers.onDown();
      this.#timer = setTimeout(() => this.#connect(person), this.#delay);
      // Jitter keeps several open windows from knocking at the same instant.
      this.#delay = Math.min(this.#delay * (1.6 + Math.random() * 0.4), LONGEST_DELAY_MS);
    });
  }
}
