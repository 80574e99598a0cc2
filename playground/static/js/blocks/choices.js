/**
 * Elements whose options all stand on the page: checkboxes and radio buttons.
 */
import { h, uniqueId } from "../dom.js";
import { renderText } from "../mrkdwn.js";
import { content, withContent } from "./values.js";

export function renderCheckboxes(element, field) {
  const value = field.adopt();
  const held = new Set((content(value) ?? []).map((option) => option.value));
  return choiceGroup(element, field, {
    type: "checkbox",
    isChecked: (option) => held.has(option.value),
    onChange(node, option, checked) {
      if (checked) held.add(option.value);
      else held.delete(option.value);
      field.change(
        node,
        withContent(
          value,
          element.options.filter((each) => held.has(each.value)),
        ),
      );
    },
  });
}

export function renderRadioButtons(element, field) {
  const value = field.adopt();
  return choiceGroup(element, field, {
    type: "radio",
    isChecked: (option) => option.value === content(value)?.value,
    onChange: (node, option) => field.change(node, withContent(value, option)),
  });
}

function choiceGroup(element, field, { type, isChecked, onChange }) {
  const name = uniqueId("choice");
  const { id, "aria-required": required, ...naming } = field.naming;
  const choices = element.options.map((option) => {
    const input = h("input", { type, name, checked: isChecked(option), "data-action": element.action_id });
    input.addEventListener("change", () => onChange(input, option, input.checked));
    const description = option.description && h("small", {}, renderText(option.description, field.surface.directory));
    return h(
      "label",
      { class: "choice" },
      input,
      h("span", { class: "choice-text" }, renderText(option.text, field.surface.directory), description),
    );
  });
  return h(
    "div",
    {
      ...naming,
      id,
      class: "choices",
      role: type === "radio" ? "radiogroup" : "group",
      "aria-required": type === "radio" ? required : null,
    },
    choices,
  );
}
