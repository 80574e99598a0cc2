/**
 * The stack of modal views in one native dialog, which shows the top one. The server keeps the stack; this draws it and reports back.
 */
import { h, icon, iconButton, uniqueId } from "./dom.js";
import { renderText } from "./mrkdwn.js";
import { findErrors } from "./blocks/validate.js";
import { ViewBody } from "./view_body.js";

export class Modal {
  #bodies = new Map();
  #view = null;
  #opener = null;

  /**
   * @param {Object} session submits and closes views
   * @param {function(Object): Object} surfaceOf
   * @param {function(): void} onClosed the focus has no place to return to
   */
  constructor({ session, surfaceOf, onClosed }) {
    Object.assign(this, { session, surfaceOf, onClosed });
    this.title = h("h2", { id: uniqueId("modal-title") });
    this.back = iconButton("back", "Back to the previous view", () => this.#dismiss(false), {
      class: "icon-button modal-back",
    });
    this.bodySlot = h("div", { class: "modal-body", tabindex: "-1" });
    this.problem = h("p", { class: "modal-problem", role: "alert" });
    this.foot = h("div", { class: "dialog-foot" });
    const close = iconButton("close", "Close", () => this.#dismiss(true));
    this.form = h(
      "form",
      { class: "modal-form", novalidate: true },
      h("header", { class: "modal-head" }, this.back, this.title, close),
      this.bodySlot,
      this.problem,
      this.foot,
    );
    this.dialog = h("dialog", { class: "dialog modal", "aria-labelledby": this.title.id }, this.form);
    document.body.append(this.dialog);
    this.#listen();
  }

  #listen() {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.form.addEventListener("input", ({ target }) => this.#clearError(target.closest("[data-block]")));
    this.form.addEventListener("click", ({ target }) => this.#clearError(target.closest(".has-error")));
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.#dismiss(false);
    });
    // Browsers let a second Escape through whatever the page says; the stack must then hear of it too.
    this.dialog.addEventListener("close", () => this.#view && this.#dismiss(false));
  }

  show(stack, directory) {
    const top = stack.at(-1);
    for (const id of this.#bodies.keys()) if (!stack.some((view) => view.id === id)) this.#bodies.delete(id);
    if (!top) return this.#hide();
    if (!this.dialog.open) {
      this.#opener = document.activeElement;
      this.dialog.showModal();
    }
    const isOther = this.#view?.id !== top.id;
    this.#view = top;
    this.back.hidden = stack.length < 2;
    this.title.replaceChildren(renderText(top.title, directory));
    this.#drawFoot(top, directory);
    this.#drawBody(top, directory, isOther);
    return undefined;
  }

  #drawBody(view, directory, isOther) {
    if (!this.#bodies.has(view.id)) this.#bodies.set(view.id, new ViewBody(this.surfaceOf));
    const body = this.#bodies.get(view.id);
    body.show(view, directory);
    if (!isOther) return;
    this.problem.textContent = "";
    this.bodySlot.replaceChildren(body.element);
    this.bodySlot.scrollTop = 0;
    const first =
      body.element.querySelector("[autofocus]") ??
      body.element.querySelector("input, textarea, button") ??
      this.foot.querySelector("button");
    first?.focus();
  }

  #drawFoot(view, directory) {
    const hasInput = view.blocks.some((block) => block.type === "input");
    const submit = view.submit ?? (hasInput ? { type: "plain_text", text: "Submit" } : null);
    const close = view.close ?? { type: "plain_text", text: submit ? "Cancel" : "Close" };
    this.submitButton =
      submit && h("button", { type: "submit", class: "button button-primary" }, renderText(submit, directory));
    this.foot.replaceChildren(
      h(
        "button",
        { type: "button", class: "button", on: { click: () => this.#dismiss(false) } },
        renderText(close, directory),
      ),
      ...(this.submitButton ? [this.submitButton] : []),
    );
  }

  #hide() {
    this.#view = null;
    if (!this.dialog.open) return;
    this.dialog.close();
    if (!this.#opener?.isConnected || this.#opener === document.body) this.onClosed();
  }

  #dismiss(clear) {
    if (this.#view) this.session.closeView(this.#view.id, clear);
  }

  async #submit() {
    const view = this.#view;
    const button = this.submitButton;
    if (!view || !button || button.disabled) return;
    const state = this.#bodies.get(view.id).values.state();
    this.problem.textContent = "";
    const errors = findErrors(view.blocks, state);
    if (Object.keys(errors).length) return this.#showErrors(errors);
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    const answer = await this.session.submitView(view.id, state);
    button.disabled = false;
    button.removeAttribute("aria-busy");
    if (this.#view?.id !== view.id || answer.ok) return undefined;
    this.#showErrors(answer.errors ?? {});
    if (answer.message) this.problem.replaceChildren(icon("warning"), answer.message);
    return undefined;
  }

  #showErrors(errors) {
    for (const block of this.bodySlot.querySelectorAll("[data-block]")) this.#clearError(block);
    for (const [id, text] of Object.entries(errors)) {
      const slot = this.bodySlot.querySelector(`[data-error-for="${CSS.escape(id)}"]`);
      if (!slot) continue;
      slot.replaceChildren(icon("warning"), text);
      const block = slot.closest("[data-block]");
      block.classList.add("has-error");
      controlOf(block)?.setAttribute("aria-invalid", "true");
    }
    const first = this.bodySlot.querySelector(".has-error");
    first?.scrollIntoView({ block: "nearest" });
    controlOf(first)?.focus();
  }

  #clearError(block) {
    if (!block?.classList.contains("has-error")) return;
    block.classList.remove("has-error");
    block.querySelector(".input-error").replaceChildren();
    controlOf(block)?.removeAttribute("aria-invalid");
  }
}

function controlOf(block) {
  return block?.querySelector("input, textarea, select") ?? null;
}
