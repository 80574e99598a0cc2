/**
 * The app's Home tab: a view that the app publishes for each person.
 */
import { h } from "./dom.js";
import { ViewBody } from "./view_body.js";

export class Home {
  #viewId = null;
  #body = null;

  constructor(surfaceOf) {
    this.surfaceOf = surfaceOf;
    this.element = h("div", {
      class: "home",
      role: "tabpanel",
      id: "home-panel",
      "aria-labelledby": "tab-home",
      tabindex: "0",
    });
  }

  show(view, isLoaded, directory) {
    if (!view) {
      this.#viewId = null;
      this.element.replaceChildren(
        h(
          "p",
          { class: "empty-note" },
          isLoaded ? "The app has not published a Home for this person." : "Asking the app…",
        ),
      );
      return;
    }
    if (view.id !== this.#viewId) {
      this.#viewId = view.id;
      this.#body = new ViewBody(this.surfaceOf);
      this.element.replaceChildren(this.#body.element);
    }
    this.#body.show(view, directory);
  }
}
