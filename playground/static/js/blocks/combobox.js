/**
 * A searchable list behind a text field, for one or several choices (the ARIA combobox pattern). It knows options, not Slack.
 */
import { h, icon, uniqueId } from "../dom.js";
import { Floating } from "../floating.js";

const TYPING_PAUSE_MS = 180;

/**
 * @typedef {{key: string, label: string, description: ?string, raw: *}} Option
 * @typedef {{label: ?string, options: Option[]}} Group
 */
export class Combobox {
  #query = "";
  #groups = [];
  #active = -1;
  #asked = 0;
  #pause = null;

  /**
   * @param {Object} setup
   * @param {Object} setup.naming id and aria attributes of the field
   * @param {function(string): Promise<Group[]>} setup.load options for what was typed; an Error's message is shown
   * @param {boolean} setup.remote wait for a pause in the typing before asking
   * @param {function(Option[], Element)} setup.onChange
   */
  constructor({
    naming,
    actionId,
    placeholder,
    multiple,
    selected,
    maxSelected,
    clearable,
    load,
    remote,
    minQuery = 0,
    onChange,
  }) {
    Object.assign(this, { multiple, selected, maxSelected, load, remote, minQuery, onChange, placeholder });
    this.list = h("div", {
      class: "combo-list",
      role: "listbox",
      id: uniqueId("list"),
      "aria-label": "Options",
      "aria-multiselectable": multiple ? "true" : null,
    });
    this.input = h("input", {
      ...naming,
      class: "combo-input",
      type: "text",
      role: "combobox",
      autocomplete: "off",
      spellcheck: "false",
      "data-action": actionId,
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": this.list.id,
    });
    this.chips = h("span", { class: "chips" });
    this.clear =
      clearable &&
      !multiple &&
      h(
        "button",
        { type: "button", class: "combo-clear", "aria-label": "Clear", on: { click: () => this.#commit([]) } },
        icon("close"),
      );
    this.box = h("div", { class: "combo-box" }, multiple && this.chips, this.input, this.clear, icon("chevron"));
    this.element = h("div", { class: `combo ${multiple ? "combo-multi" : ""}` }, this.box, this.list);
    this.floating = new Floating(this.box, this.list);
    this.#listen();
    this.#showSelected();
  }

  #listen() {
    this.box.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button")) return;
      if (event.target !== this.input) event.preventDefault();
      this.input.focus();
      if (!this.floating.isOpen) this.#open();
    });
    this.input.addEventListener("input", () => this.#search(this.input.value));
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("blur", () => this.#close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => {
      const at = event.target.closest("[role=option]")?.dataset.index;
      if (at !== undefined) this.#choose(this.#options()[Number(at)]);
    });
  }

  #options() {
    return this.#groups.flatMap((group) => group.options);
  }

  #open() {
    this.input.select();
    this.#search("");
  }

  #close() {
    clearTimeout(this.#pause);
    this.#asked += 1;
    this.#query = "";
    this.floating.close();
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.#showSelected();
  }

  #search(query) {
    this.#query = query.trim();
    clearTimeout(this.#pause);
    if (this.#query.length < this.minQuery) {
      return this.#say(`Type ${this.minQuery} or more characters to search.`);
    }
    if (!this.remote) return this.#load();
    this.#say("Searching…");
    this.#pause = setTimeout(() => this.#load(), TYPING_PAUSE_MS);
    return undefined;
  }

  async #load() {
    this.#asked += 1;
    const turn = this.#asked;
    try {
      const groups = await this.load(this.#query);
      if (turn === this.#asked) this.#show(groups);
    } catch (error) {
      if (turn === this.#asked) this.#say(error.message);
    }
  }

  #show(groups) {
    this.#groups = groups.filter((group) => group.options.length);
    if (this.#groups.length === 0)
      return this.#say(this.#query ? `Nothing found for “${this.#query}”.` : "There is nothing to choose from.");
    const chosen = new Set(this.selected.map((option) => option.key));
    let index = 0;
    const rows = this.#groups.map((group) => {
      const options = group.options.map((option) => optionRow(option, index++, chosen.has(option.key)));
      return group.label
        ? h(
            "div",
            { role: "group", "aria-label": group.label },
            h("div", { class: "combo-group", "aria-hidden": "true" }, group.label),
            options,
          )
        : options;
    });
    this.list.replaceChildren(...rows.flat());
    this.#reveal();
    const firstChosen = this.#options().findIndex((option) => chosen.has(option.key));
    this.#activate(this.#query || firstChosen < 0 ? 0 : firstChosen);
    return undefined;
  }

  #say(text) {
    this.#groups = [];
    this.#active = -1;
    this.list.replaceChildren(h("div", { class: "combo-note", role: "status" }, text));
    this.#reveal();
  }

  #reveal() {
    this.floating.open();
    this.input.setAttribute("aria-expanded", "true");
  }

  #activate(index) {
    const rows = this.list.querySelectorAll("[role=option]");
    if (rows.length === 0) return;
    this.#active = (index + rows.length) % rows.length;
    rows.forEach((row, at) => row.classList.toggle("is-active", at === this.#active));
    rows[this.#active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", rows[this.#active].id);
  }

  #key(event) {
    const open = this.floating.isOpen;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (open) this.#activate(this.#active + (event.key === "ArrowDown" ? 1 : -1));
      else this.#open();
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      const option = this.#options()[this.#active];
      if (option) this.#choose(option);
    } else if (event.key === "Escape" && open) {
      // The dialog around must not take this Escape for its own.
      event.preventDefault();
      event.stopPropagation();
      this.#close();
    } else if (event.key === "Backspace" && this.multiple && this.input.value === "" && this.selected.length) {
      this.#commit(this.selected.slice(0, -1));
    }
  }

  #choose(option) {
    if (!this.multiple) {
      this.#commit([option]);
      return this.#close();
    }
    const without = this.selected.filter((each) => each.key !== option.key);
    const isNew = without.length === this.selected.length;
    if (isNew && this.selected.length >= (this.maxSelected ?? Infinity))
      return this.#say(`Choose at most ${this.maxSelected}.`);
    this.#commit(isNew ? [...this.selected, option] : without);
    this.input.value = "";
    return this.#search("");
  }

  #commit(selected) {
    this.selected = selected;
    this.#showSelected();
    this.onChange(selected, this.input);
  }

  #showSelected() {
    if (!this.multiple) {
      this.input.value = this.selected[0]?.label ?? "";
      this.input.placeholder = this.placeholder ?? "Choose…";
      if (this.clear) this.clear.hidden = this.selected.length === 0;
      return;
    }
    this.input.placeholder = this.selected.length ? "" : (this.placeholder ?? "Choose…");
    if (!this.floating.isOpen) this.input.value = "";
    this.chips.replaceChildren(...this.selected.map((option) => this.#chip(option)));
  }

  #chip(option) {
    const remove = () => {
      this.#commit(this.selected.filter((each) => each.key !== option.key));
      this.input.focus();
    };
    return h(
      "span",
      { class: "chip" },
      option.label,
      h("button", { type: "button", "aria-label": `Remove ${option.label}`, on: { click: remove } }, icon("close")),
    );
  }
}

function optionRow(option, index, isChosen) {
  return h(
    "div",
    {
      role: "option",
      id: uniqueId("option"),
      class: "combo-option",
      "data-index": index,
      "aria-selected": String(isChosen),
    },
    h("span", { class: "combo-label" }, option.label, option.description && h("small", {}, option.description)),
    isChosen && icon("check"),
  );
}

/** Groups narrowed to what contains every typed word. */
export function narrowed(groups, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (option) =>
    words.every((word) => `${option.label} ${option.description ?? ""}`.toLowerCase().includes(word));
  return groups.map((group) => ({ ...group, options: group.options.filter(fits) }));
}
