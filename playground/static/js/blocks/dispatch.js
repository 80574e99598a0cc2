/**
 * From a touched element to the app and back: the pending look while the app is asked, and the warning when it could not be.
 */
import { h, icon } from "../dom.js";

/**
 * Where blocks live, and the way from them to the app.
 * @typedef {Object} Surface
 * @property {Object} container Slack's container of the action
 * @property {import("./values.js").FormValues} values
 * @property {import("../directory.js").Directory} directory
 * @property {function(): ParentNode} root the element that now shows the blocks
 * @property {function(Object): Promise<{ok: boolean, message?: string}>} act
 * @property {function(string, string, string): Promise<Array>} suggest option groups for typed text
 */

const blockIn = (root, id) => root?.querySelector(`[data-block="${CSS.escape(id)}"]`);

/** Sends one action; a block that still waits for its answer takes no second one. */
async function dispatch(node, action, surface) {
  const block = node.closest("[data-block]");
  if (block.classList.contains("is-busy")) return;
  block.classList.add("is-busy");
  node.setAttribute("aria-busy", "true");
  block.querySelector(":scope > .block-warning")?.remove();
  const result = await surface.act(action);
  block.classList.remove("is-busy");
  node.removeAttribute("aria-busy");
  // The app may have replaced the message meanwhile: the warning belongs to what is shown now.
  if (!result.ok) (blockIn(surface.root(), action.block_id) ?? block).append(warning(result.message));
}

function warning(message) {
  return h("p", { class: "block-warning", role: "alert" }, icon("warning"), message ?? "The app did not answer.");
}

/**
 * One element's tie to its surface.
 * @param {{label: ?string, labelledBy: ?string, describedBy: ?string, inputId: ?string, dispatches: boolean, required: boolean}} options
 */
export function fieldOf(blockId, element, surface, options) {
  const { action_id, type } = element;
  return {
    ...options,
    blockId,
    surface,
    naming: {
      id: options.inputId,
      "aria-label": options.labelledBy ? null : options.label,
      "aria-labelledby": options.labelledBy,
      "aria-describedby": options.describedBy,
      "aria-required": options.required ? "true" : null,
    },
    adopt: () => surface.values.adopt(blockId, element),
    send: (node, members) => dispatch(node, { type, block_id: blockId, action_id, ...members }, surface),
    change(node, value) {
      surface.values.set(blockId, action_id, value);
      if (options.dispatches) this.send(node, value);
    },
  };
}
