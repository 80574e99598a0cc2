/**
 * A scrolling log of messages, kept in step with the state: unchanged messages keep their DOM, changed ones are replaced in place, and
 * the reader is neither moved nor loses the focus.
 */
import { h, icon } from "./dom.js";
import { FormValues } from "./blocks/values.js";
import { keepFocus } from "./focus.js";
import { renderMessage } from "./message.js";
import { dayLabel, sameDay } from "./time.js";

const GROUP_SECONDS = 300;
const BOTTOM_SLACK_PX = 48;

export class MessageList {
  #rows = new Map();
  #surfaces = new Map();
  #days = new Map();
  #isFresh = true;
  #atBottom = true;
  #unseen = 0;

  /**
   * @param {Object} setup
   * @param {string} setup.label
   * @param {function(Object): Object} setup.surfaceOf the message's Surface without `values` and `root`
   * @param {function(): void} setup.onBottom the reader has reached the newest message
   * @param {?function(Object): void} setup.onThread
   */
  constructor({ label, surfaceOf, onBottom, onThread = null, header = null }) {
    Object.assign(this, { surfaceOf, onBottom, onThread });
    this.content = h("div", {
      class: "log",
      role: "log",
      "aria-live": "off",
      "aria-relevant": "additions",
      "aria-label": label,
    });
    this.scroller = h(
      "div",
      { class: "scroller", tabindex: "0", role: "region", "aria-label": `${label}, scrollable` },
      header,
      this.content,
    );
    this.pill = h("button", {
      type: "button",
      class: "new-pill",
      hidden: true,
      on: { click: () => this.toBottom("smooth") },
    });
    this.element = h("div", { class: "message-list" }, this.scroller, this.pill);
    this.scroller.addEventListener("scroll", () => this.#onScroll(), { passive: true });
    new ResizeObserver(() => this.#settle()).observe(this.content);
    new ResizeObserver(() => this.#settle()).observe(this.scroller);
  }

  get isAtBottom() {
    return this.#atBottom;
  }

  /** Forgets everything, as when another channel is opened. */
  reset() {
    this.#rows.clear();
    this.#surfaces.clear();
    this.#days.clear();
    this.content.replaceChildren();
    this.#isFresh = true;
    this.#atBottom = true;
    this.#setUnseen(0);
  }

  toBottom(behavior = "instant") {
    this.#atBottom = true;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: still ? "instant" : behavior });
    this.#setUnseen(0);
    this.onBottom();
  }

  /** Shows one message among the others, if it is on the page. */
  reveal(ts) {
    const element = this.#rows.get(ts)?.element;
    if (!element) return;
    this.#atBottom = false;
    element.scrollIntoView({ block: "center" });
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
  }

  sync(messages, directory) {
    const newest = [...this.#rows.keys()].at(-1);
    const isPrepend = this.#rows.size > 0 && messages.at(-1)?.ts === newest && messages.length > this.#rows.size;
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    const added =
      newest === undefined
        ? 0
        : messages.filter(({ ts, user }) => Number(ts) > Number(newest) && user !== directory.self).length;
    const rows = new Map();
    const children = [];
    messages.forEach((message, index) => {
      const previous = messages[index - 1];
      if (!previous || !sameDay(previous.ts, message.ts)) children.push(this.#day(message.ts));
      const row = this.#row(message, isGrouped(previous, message), directory);
      rows.set(message.ts, row);
      children.push(row.element);
    });
    // What was there already is not news to be read out.
    this.content.setAttribute("aria-live", this.#isFresh ? "off" : "polite");
    this.#isFresh = false;
    this.#rows = rows;
    keepFocus(this.content, () => reconcile(this.content, children), "[data-ts]");
    if (isPrepend) this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
    if (!this.#atBottom && added) this.#setUnseen(this.#unseen + added);
    this.#settle();
  }

  /** The row of a message: the one on the page unless what it shows has changed. */
  #row(message, grouped, directory) {
    const known = this.#rows.get(message.ts);
    const signature = JSON.stringify([message, grouped, directory.self]);
    if (known?.signature === signature) return known;
    const surface = this.#surface(message, directory);
    const element = renderMessage(message, { directory, surface, grouped, onThread: this.onThread });
    if (known && !grouped) element.classList.add("is-changed");
    return { signature, element };
  }

  #day(ts) {
    const label = dayLabel(ts);
    if (!this.#days.has(label))
      this.#days.set(label, h("div", { class: "day", role: "separator", "aria-label": label }, h("span", {}, label)));
    return this.#days.get(label);
  }

  #surface(message, directory) {
    const kept = this.#surfaces.get(message.ts) ?? { values: new FormValues() };
    const surface = Object.assign(kept, this.surfaceOf(message), {
      directory,
      root: () => this.#rows.get(message.ts)?.element,
    });
    this.#surfaces.set(message.ts, surface);
    return surface;
  }

  #onScroll() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atBottom = scrollHeight - scrollTop - clientHeight < BOTTOM_SLACK_PX;
    if (atBottom && !this.#atBottom) {
      this.#setUnseen(0);
      this.onBottom();
    }
    this.#atBottom = atBottom;
  }

  /** Keeps a reader at the bottom there, whatever has grown. */
  #settle() {
    if (this.#atBottom) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  #setUnseen(count) {
    this.#unseen = count;
    this.pill.hidden = count === 0;
    this.pill.replaceChildren(icon("down"), `${count} new ${count === 1 ? "message" : "messages"}`);
  }
}

function isGrouped(previous, message) {
  if (!previous || previous.user !== message.user || previous.system !== message.system) return false;
  if (previous.ephemeral || message.ephemeral || !sameDay(previous.ts, message.ts)) return false;
  return Number(message.ts) - Number(previous.ts) < GROUP_SECONDS;
}

/** Makes `parent` hold exactly `children`, touching only what differs. */
function reconcile(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
}
