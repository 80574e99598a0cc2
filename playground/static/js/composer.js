/**
 * The message box: sends text, completes commands and names, recalls what was sent before.
 */
import { h, icon, uniqueId } from "./dom.js";
import { complete, completeMention } from "./completion.js";
import { Floating } from "./floating.js";

export class Composer {
  #suggestions = [];
  #active = -1;
  #sent = [];
  #recalled = 0;
  #sending = false;

  /**
   * @param {Object} setup
   * @param {string} setup.id
   * @param {function(): {commands: Object[], people: Object[]}} setup.vocabulary
   * @param {function(string): Promise<?string>} setup.onSend answers with the problem to show, or null
   */
  constructor({ id, vocabulary, onSend }) {
    Object.assign(this, { vocabulary, onSend });
    this.list = h("div", {
      class: "combo-list completion",
      role: "listbox",
      id: uniqueId("completion"),
      "aria-label": "Suggestions",
    });
    this.input = h("textarea", {
      id,
      class: "composer-input",
      rows: "1",
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": this.list.id,
      "aria-label": "Message",
    });
    this.button = h(
      "button",
      { type: "submit", class: "send", "aria-label": "Send", title: "Send (Enter)", disabled: true },
      icon("send"),
    );
    this.problem = h("p", { class: "composer-problem", role: "alert" });
    this.box = h("form", { class: "composer-box" }, this.input, this.button);
    this.element = h("div", { class: "composer" }, this.problem, this.box, this.list);
    this.floating = new Floating(this.box, this.list);
    this.#listen();
  }

  #listen() {
    this.box.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.input.addEventListener("input", () => this.#changed());
    this.input.addEventListener("keydown", (event) => !event.isComposing && this.#key(event));
    this.input.addEventListener("blur", () => this.#offer([]));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const at = event.target.closest("[role=option]")?.dataset.index;
      if (at !== undefined) this.#take(Number(at));
    });
  }

  /** Says where the text goes, or why it cannot be written here. */
  describe(label, disabled = false) {
    this.input.setAttribute("aria-label", label);
    this.input.placeholder = label;
    this.input.disabled = disabled;
  }

  reset() {
    this.#fill("");
    this.problem.textContent = "";
  }

  /** Puts `text` in, ready to be changed and sent. */
  propose(text) {
    this.#fill(text);
    this.input.focus();
    this.#changed();
  }

  focus() {
    this.input.focus({ preventScroll: true });
  }

  #fill(text) {
    this.input.value = text;
    this.input.setSelectionRange(text.length, text.length);
    this.#fit();
    this.#offer([]);
  }

  /** As tall as its text, up to the limit that the style sheet sets. */
  #fit() {
    this.input.style.setProperty("height", "auto");
    // A box that is not shown has no height to take.
    if (this.input.scrollHeight) this.input.style.setProperty("height", `${this.input.scrollHeight}px`);
    this.button.disabled = this.input.value.trim() === "";
  }

  #changed() {
    this.#fit();
    const text = this.input.value;
    const { commands, people } = this.vocabulary();
    const command = complete(text, commands);
    const { suggestions, preselect } = command.suggestions.length
      ? command
      : completeMention(text, this.input.selectionStart, people);
    this.#offer(suggestions, preselect);
  }

  #offer(suggestions, preselect = false) {
    this.#suggestions = suggestions;
    this.#active = -1;
    this.input.setAttribute("aria-expanded", String(suggestions.length > 0));
    this.input.removeAttribute("aria-activedescendant");
    if (suggestions.length === 0) return this.floating.close();
    this.list.replaceChildren(...suggestions.map(suggestionRow));
    this.list.scrollTop = 0;
    this.floating.open();
    if (preselect) this.#activate(0);
    return undefined;
  }

  #activate(index) {
    const rows = [...this.list.children];
    this.#active = (index + rows.length) % rows.length;
    rows.forEach((row, at) => {
      row.classList.toggle("is-active", at === this.#active);
      row.setAttribute("aria-selected", String(at === this.#active));
    });
    rows[this.#active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", rows[this.#active].id);
  }

  #take(index) {
    this.#fill(this.#suggestions[index].insert);
    this.#changed();
  }

  #key(event) {
    if (this.#suggestions.length && this.#popupKey(event)) {
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      this.#recall(event);
    }
  }

  /** @returns {boolean} whether the key was meant for the suggestions */
  #popupKey({ key, shiftKey }) {
    if (key === "Escape") this.#offer([]);
    else if (key === "ArrowDown") this.#activate(this.#active + 1);
    else if (key === "ArrowUp") this.#activate(this.#active < 0 ? this.#suggestions.length - 1 : this.#active - 1);
    else if (key === "Tab" && !shiftKey) this.#take(Math.max(this.#active, 0));
    else if (key === "Enter" && !shiftKey && this.#active >= 0) this.#take(this.#active);
    else return false;
    return true;
  }

  /** Up in an empty box brings back what was sent; Up and Down then walk through it. */
  #recall(event) {
    const isRecalling = this.input.value !== "" && this.input.value === this.#sent[this.#recalled];
    if (this.input.value !== "" && !isRecalling) return;
    const from = isRecalling ? this.#recalled : this.#sent.length;
    const next = event.key === "ArrowUp" ? Math.max(from - 1, 0) : from + 1;
    if (this.#sent.length === 0 || next > this.#sent.length) return;
    event.preventDefault();
    this.#recalled = next;
    this.#fill(this.#sent[next] ?? "");
  }

  async #send() {
    const text = this.input.value.trim();
    if (text === "" || this.#sending || this.input.disabled) return;
    this.#sending = true;
    this.box.setAttribute("aria-busy", "true");
    this.reset();
    const problem = await this.onSend(text);
    this.#sending = false;
    this.box.removeAttribute("aria-busy");
    this.#sent.push(text);
    if (!problem) return;
    this.problem.textContent = problem;
    if (this.input.value === "") this.#fill(text);
  }
}

function suggestionRow({ label, detail }, index) {
  return h(
    "div",
    {
      role: "option",
      id: uniqueId("suggestion"),
      class: "combo-option",
      "data-index": index,
      "aria-selected": "false",
    },
    h("span", { class: "combo-label" }, label, detail && h("small", {}, detail)),
  );
}
