/**
 * Elements that are typed into: text of one or many lines, numbers, addresses; and the date and time pickers, which are the browser's.
 */
import { h } from "../dom.js";
import { content, withContent } from "./values.js";

const TYPING_PAUSE_MS = 300;
const KEYBOARDS = {
  plain_text_input: { type: "text" },
  number_input: { type: "text", inputmode: "decimal" },
  email_text_input: { type: "email" },
  url_text_input: { type: "url" },
};

export function renderTextInput(element, field) {
  const value = field.adopt();
  const shared = {
    ...field.naming,
    class: "text-input",
    "data-action": element.action_id,
    placeholder: element.placeholder?.text,
    autofocus: element.focus_on_load,
    autocomplete: "off",
    spellcheck: element.multiline ? null : "false",
    value: content(value) ?? "",
  };
  const input = element.multiline
    ? h("textarea", { ...shared, rows: "4" })
    : h("input", { ...shared, ...KEYBOARDS[element.type] });
  const current = () => withContent(value, input.value === "" ? null : input.value);
  const triggers = element.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
  const send = () => field.send(input, current());
  let pause = null;
  input.addEventListener("input", () => {
    field.surface.values.set(field.blockId, element.action_id, current());
    if (!field.dispatches || !triggers.includes("on_character_entered")) return;
    clearTimeout(pause);
    pause = setTimeout(send, TYPING_PAUSE_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || element.multiline || !field.dispatches) return;
    event.preventDefault();
    if (triggers.includes("on_enter_pressed")) send();
  });
  return input;
}

const two = (number) => String(number).padStart(2, "0");

function localStamp(unixSeconds) {
  const date = new Date(unixSeconds * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

const PICKERS = {
  datepicker: { type: "date", read: (text) => text, show: (held) => held },
  timepicker: { type: "time", read: (text) => text, show: (held) => held },
  datetimepicker: {
    type: "datetime-local",
    read: (text) => Math.floor(new Date(text).getTime() / 1000),
    show: localStamp,
  },
};

export function renderPicker(element, field) {
  const { type, read, show } = PICKERS[element.type];
  const value = field.adopt();
  const held = content(value);
  const input = h("input", {
    ...field.naming,
    class: "text-input picker",
    type,
    "data-action": element.action_id,
    value: held === null ? "" : show(held),
  });
  input.addEventListener("change", () =>
    field.change(input, withContent(value, input.value === "" ? null : read(input.value))),
  );
  return input;
}
