/**
 * The question before an action: a native modal dialog, which brings focus trap, Escape and the way back of the focus.
 */
import { h, uniqueId } from "./dom.js";
import { renderText } from "./mrkdwn.js";

/** @returns {Promise<boolean>} whether the person confirmed Slack's confirm object */
export function askConfirm(confirm, directory) {
  const titleId = uniqueId("confirm");
  const tone = confirm.style === "danger" ? "button-danger" : "button-primary";
  const dialog = h(
    "dialog",
    { class: "dialog confirm", "aria-labelledby": titleId },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id: titleId }, renderText(confirm.title, directory)),
      h("div", { class: "confirm-text prose" }, renderText(confirm.text, directory)),
      h(
        "div",
        { class: "dialog-foot" },
        h("button", { class: "button", value: "deny" }, renderText(confirm.deny ?? "Cancel", directory)),
        h(
          "button",
          { class: `button ${tone}`, value: "confirm", autofocus: true },
          renderText(confirm.confirm ?? "Yes", directory),
        ),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "confirm");
    });
  });
}
