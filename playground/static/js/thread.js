/**
 * The pane beside the conversation that shows one thread.
 */
import { h, iconButton } from "./dom.js";
import { Composer } from "./composer.js";
import { MessageList } from "./message_list.js";

export class ThreadPane {
  #ts = null;
  #opener = null;

  constructor(element, { session, surfaceOf, vocabulary }) {
    this.element = element;
    this.session = session;
    this.place = h("small");
    this.list = new MessageList({ label: "Thread", surfaceOf, onBottom: () => undefined });
    this.composer = new Composer({ id: "thread-composer", vocabulary, onSend: (text) => session.send(text, this.#ts) });
    this.composer.describe("Reply in the thread");
    const close = iconButton("close", "Close the thread", () => session.closeThread());
    element.append(
      h("header", { class: "thread-head" }, h("h2", {}, "Thread", this.place), close),
      this.list.element,
      this.composer.element,
    );
    element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) session.closeThread();
    });
  }

  show(thread, directory, channel) {
    const ts = thread?.ts ?? null;
    const isOther = ts !== this.#ts;
    if (isOther) this.#begin(ts);
    if (!thread) return;
    this.place.textContent = channel
      ? `${channel.kind === "dm" || channel.kind === "app" ? "" : "#"}${directory.channelTitle(channel)}`
      : "";
    this.list.sync(thread.messages, directory);
    if (isOther) this.composer.focus();
  }

  #begin(ts) {
    if (this.#ts === null) this.#opener = document.activeElement;
    this.#ts = ts;
    this.list.reset();
    this.composer.reset();
    this.element.hidden = ts === null;
    if (ts === null && this.#opener?.isConnected) this.#opener.focus({ preventScroll: true });
  }
}
