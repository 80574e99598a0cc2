/**
 * The blocks of one view, modal or Home, drawn again whenever the app changes it; what was typed stays with its block_id and action_id.
 */
import { h } from "./dom.js";
import { FormValues } from "./blocks/values.js";
import { renderBlocks } from "./blocks/index.js";
import { keepFocus } from "./focus.js";

export class ViewBody {
  #signature = null;

  /** @param {function(Object): Object} surfaceOf the view's Surface without `values` and `root` */
  constructor(surfaceOf) {
    this.surfaceOf = surfaceOf;
    this.values = new FormValues();
    this.element = h("div", { class: "blocks view-blocks" });
  }

  /** @returns {boolean} whether anything was drawn */
  show(view, directory) {
    const signature = JSON.stringify(view.blocks);
    if (signature === this.#signature) return false;
    this.#signature = signature;
    const surface = { ...this.surfaceOf(view), values: this.values, directory, root: () => this.element };
    keepFocus(this.element, () => this.element.replaceChildren(renderBlocks(view.blocks, surface)));
    return true;
  }
}
