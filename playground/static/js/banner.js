/**
 * The line above everything that says what is wrong with the connection, if anything is.
 */
import { h, icon } from "./dom.js";

const APPEARS_AFTER_MS = 700;

export class Banner {
  #timer = null;

  constructor(element) {
    this.element = element;
  }

  show({ online, connected, app }) {
    clearTimeout(this.#timer);
    // A blink of the connection is not worth a line.
    if (!online)
      this.#timer = setTimeout(
        () => this.#draw("away", "The playground is not running. Start it with ", h("code", {}, "make run"), "."),
        APPEARS_AFTER_MS,
      );
    else if (!connected && app)
      this.#timer = setTimeout(
        () => this.#draw("waiting", `${app.name} is not connected: commands and buttons will not be answered.`),
        APPEARS_AFTER_MS,
      );
    else this.element.replaceChildren();
  }

  #draw(kind, ...text) {
    this.element.replaceChildren(h("p", { class: `banner banner-${kind}` }, icon("warning"), h("span", {}, text)));
  }
}
