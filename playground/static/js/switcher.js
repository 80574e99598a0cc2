/**
 * Who the page acts as, and the list of everyone it could act as.
 */
import { h, icon, uniqueId } from "./dom.js";
import { avatar, nameWithKind, whyNot } from "./directory.js";
import { Floating } from "./floating.js";

export class Switcher {
  constructor(onSwitch) {
    this.onSwitch = onSwitch;
    this.menu = h("div", { class: "menu people-menu", role: "menu", id: uniqueId("people"), "aria-label": "Act as" });
    this.button = h("button", {
      type: "button",
      class: "switcher-button",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-controls": this.menu.id,
    });
    this.element = h("div", { class: "switcher" }, this.button, this.menu);
    this.floating = new Floating(this.button, this.menu, "start");
    this.button.addEventListener("click", () => this.#toggle(!this.floating.isOpen));
    this.menu.addEventListener("keydown", (event) => this.#key(event));
  }

  show({ directory, as }) {
    const person = directory.person(as);
    this.button.replaceChildren(
      avatar(person),
      h(
        "span",
        { class: "switcher-text" },
        h("small", {}, "acting as"),
        nameWithKind(person),
        h("small", {}, person.title),
      ),
      icon("chevron"),
    );
    const people = [...directory.people].sort((one, other) => Number(other.can_act) - Number(one.can_act));
    this.menu.replaceChildren(...people.map((each) => this.#item(each, as)));
  }

  #item(person, as) {
    const reason = whyNot(person);
    const text = h("span", { class: "switcher-text" }, nameWithKind(person), h("small", {}, reason ?? person.title));
    const inside = [avatar(person), text, person.id === as && icon("check")];
    const shared = {
      role: "menuitemradio",
      class: "menu-item",
      tabindex: "-1",
      "aria-checked": String(person.id === as),
    };
    if (reason) return h("span", { ...shared, "aria-disabled": "true" }, inside);
    const choose = (event) => {
      // With a modifier the link opens a second window that acts as this person.
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.#toggle(false);
      this.button.focus();
      if (person.id !== as) this.onSwitch(person.id);
    };
    return h(
      "a",
      { ...shared, href: `?as=${encodeURIComponent(person.id)}${location.hash}`, on: { click: choose } },
      inside,
    );
  }

  #toggle(open) {
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return this.floating.close();
    this.floating.open();
    this.floating.onPressOutside(() => this.#toggle(false));
    this.menu.querySelector("[aria-checked=true]")?.focus();
    return undefined;
  }

  #key(event) {
    const items = [...this.menu.children];
    const at = items.indexOf(document.activeElement);
    const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (target !== undefined) {
      event.preventDefault();
      items.at(target % items.length).focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      event.stopPropagation();
      this.#toggle(false);
      this.button.focus();
    } else if (event.key === " ") {
      event.preventDefault();
      document.activeElement.click();
    }
  }
}
