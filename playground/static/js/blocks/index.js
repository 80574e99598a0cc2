/**
 * Block Kit on the page: one function per block type. Blocks come from an app and are rendered as data; what is unknown is named, not guessed.
 */
import { fragment, h, icon, link, safeUrl, uniqueId } from "../dom.js";
import { renderMarkdown } from "../markdown.js";
import { renderText } from "../mrkdwn.js";
import { renderButton, renderOverflow } from "./buttons.js";
import { renderCheckboxes, renderRadioButtons } from "./choices.js";
import { fieldOf } from "./dispatch.js";
import { renderRichText } from "./rich_text.js";
import { renderSelect } from "./selects.js";
import { renderTable } from "./tables.js";
import { renderPicker, renderTextInput } from "./text_inputs.js";

const ELEMENTS = {
  button: renderButton,
  workflow_button: renderButton,
  overflow: renderOverflow,
  plain_text_input: renderTextInput,
  number_input: renderTextInput,
  email_text_input: renderTextInput,
  url_text_input: renderTextInput,
  datepicker: renderPicker,
  timepicker: renderPicker,
  datetimepicker: renderPicker,
  checkboxes: renderCheckboxes,
  radio_buttons: renderRadioButtons,
  image: (element) => renderImage(element),
  ...Object.fromEntries(
    ["static", "external", "users", "conversations", "channels"].flatMap((kind) => [
      [`${kind}_select`, renderSelect],
      [`multi_${kind}_select`, renderSelect],
    ]),
  ),
};

const BLOCKS = {
  section,
  header: (block, { directory }) =>
    h("h3", { class: `block-header level-${block.level ?? 1}` }, renderText(block.text, directory)),
  context: (block, surface) =>
    h(
      "div",
      { class: "block-context" },
      block.elements.map((element) => contextElement(element, surface)),
    ),
  divider: () => h("hr"),
  actions: (block, surface) =>
    h(
      "div",
      { class: "block-actions" },
      block.elements.map((element) => renderElement(element, block, surface)),
    ),
  context_actions: (block, surface) =>
    h(
      "div",
      { class: "block-actions" },
      block.elements.map((element) => renderElement(element, block, surface)),
    ),
  input,
  image: (block, { directory }) =>
    h(
      "figure",
      { class: "block-image" },
      block.title && h("figcaption", {}, renderText(block.title, directory)),
      renderImage(block),
    ),
  rich_text: (block, { directory }) => renderRichText(block, directory),
  markdown: (block) => h("div", { class: "prose" }, renderMarkdown(block.text)),
  table: renderTable,
  alert,
  card,
};

/** All blocks of one surface; begins a new round of its form values. */
export function renderBlocks(blocks, surface) {
  surface.values.begin();
  return fragment(blocks.map((block) => renderBlock(block, surface)));
}

function renderBlock(block, surface) {
  const known = Object.hasOwn(BLOCKS, block.type);
  const content = known ? BLOCKS[block.type](block, surface) : unsupported("block", block.type);
  return h(
    "div",
    { class: `block block-is-${block.type.replaceAll("_", "-")}`, "data-block": block.block_id ?? uniqueId("block") },
    content,
  );
}

function unsupported(what, type) {
  return h("p", { class: "unsupported" }, `The playground does not show the ${what} type “${type}”.`);
}

function renderElement(element, block, surface, options = {}) {
  if (!Object.hasOwn(ELEMENTS, element.type)) return unsupported("element", element.type);
  const label = element.accessibility_label ?? element.placeholder?.text ?? null;
  return ELEMENTS[element.type](
    element,
    fieldOf(block.block_id, element, surface, { label, dispatches: true, ...options }),
  );
}

function section(block, surface) {
  const textId = uniqueId("section");
  const text = block.text && h("div", { class: "prose", id: textId }, renderText(block.text, surface.directory));
  const fields =
    block.fields &&
    h(
      "dl",
      { class: "fields" },
      block.fields.map((field) => h("div", { class: "prose" }, renderText(field, surface.directory))),
    );
  const isMenu = block.accessory && !["button", "image", "overflow"].includes(block.accessory.type);
  const accessory =
    block.accessory && renderElement(block.accessory, block, surface, isMenu && text ? { labelledBy: textId } : {});
  return h(
    "div",
    { class: "block-section" },
    h("div", { class: "section-main" }, text, fields),
    accessory && h("div", { class: `accessory accessory-${block.accessory.type.replaceAll("_", "-")}` }, accessory),
  );
}

function contextElement(element, { directory }) {
  if (element.type === "image") return renderImage(element);
  return h("span", { class: "prose" }, renderText(element, directory));
}

function input(block, surface) {
  const { element } = block;
  const inputId = uniqueId("input");
  const labelId = uniqueId("label");
  const hintId = uniqueId("hint");
  const errorId = uniqueId("error");
  const isGroup = element.type === "checkboxes" || element.type === "radio_buttons";
  const label = [
    renderText(block.label, surface.directory),
    block.optional && h("span", { class: "optional" }, " (optional)"),
  ];
  return h(
    "div",
    { class: "block-input" },
    h(isGroup ? "div" : "label", { class: "input-label", id: labelId, for: isGroup ? null : inputId }, label),
    renderElement(element, block, surface, {
      inputId,
      labelledBy: labelId,
      describedBy: `${errorId} ${hintId}`,
      dispatches: Boolean(block.dispatch_action),
      required: !block.optional,
    }),
    h("p", { class: "input-error", id: errorId, "data-error-for": block.block_id }),
    block.hint && h("p", { class: "input-hint", id: hintId }, renderText(block.hint, surface.directory)),
  );
}

/** Images of other hosts are named and linked: the page asks nobody but the playground for anything. */
function renderImage({ image_url: address = "", alt_text: alternative = "" }) {
  const url = URL.parse(address, location.href);
  if (url?.origin === location.origin) return h("img", { src: url.href, alt: alternative, loading: "lazy" });
  const target = safeUrl(address);
  const label = alternative || "Image";
  return h("span", { class: "remote-image" }, target ? link(target, label, icon("external")) : label);
}

function alert(block, { directory }) {
  return h(
    "div",
    { class: `block-alert alert-${block.level ?? "default"} prose`, role: "note" },
    renderText(block.text, directory),
  );
}

function card(block, surface) {
  const part = (name, className) =>
    block[name] && h("div", { class: `prose ${className}` }, renderText(block[name], surface.directory));
  return h(
    "div",
    { class: "block-card" },
    block.hero_image && renderImage(block.hero_image),
    part("title", "card-title"),
    part("subtitle", "card-subtitle"),
    part("body", "card-body"),
    block.actions &&
      h(
        "div",
        { class: "block-actions" },
        block.actions.map((element) => renderElement(element, block, surface)),
      ),
  );
}
