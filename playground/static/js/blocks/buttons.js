/**
 * Elements that are pressed: buttons, with and without a link, and overflow menus.
 */
import { h, icon, safeUrl, uniqueId } from "../dom.js";
import { askConfirm } from "../confirm.js";
import { Floating } from "../floating.js";
import { renderText, unescapeEntities } from "../mrkdwn.js";

const TONES = { primary: "button-primary", danger: "button-danger" };

async function allowed(element, directory) {
  return !element.confirm || askConfirm(element.confirm, directory);
}

export function renderButton(element, field) {
  const url = element.url && safeUrl(element.url);
  const members = {
    text: element.text,
    ...(element.value !== undefined && { value: element.value }),
    ...(element.style && { style: element.style }),
  };
  const press = async (event) => {
    const node = event.currentTarget;
    if (url && !element.confirm) return field.send(node, members);
    event.preventDefault();
    if (!(await allowed(element, field.surface.directory))) return undefined;
    if (url) window.open(url, "_blank", "noopener,noreferrer");
    return field.send(node, members);
  };
  const shared = {
    class: `button ${TONES[element.style] ?? ""}`,
    "data-action": element.action_id,
    "aria-label": element.accessibility_label,
    on: { click: press },
  };
  const text = renderText(element.text, field.surface.directory);
  if (url)
    return h("a", { ...shared, href: url, target: "_blank", rel: "noopener noreferrer" }, text, icon("external"));
  return h("button", { ...shared, type: "button" }, text);
}

export function renderOverflow(element, field) {
  const opener = h(
    "button",
    {
      type: "button",
      class: "button button-overflow",
      "data-action": element.action_id,
      "aria-label": field.label ?? "More actions",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
    },
    icon("more"),
  );
  const items = element.options.map((option) => menuItem(option, field.surface.directory));
  const menu = h("div", { class: "menu", role: "menu", id: uniqueId("menu") }, items);
  const floating = new Floating(opener, menu, "end");
  const toggle = (open) => {
    if (open) {
      floating.open();
      floating.onPressOutside(() => toggle(false));
      items[0].focus();
    } else {
      floating.close();
    }
    opener.setAttribute("aria-expanded", String(open));
  };
  const choose = async (option) => {
    toggle(false);
    opener.focus();
    if (await allowed(element, field.surface.directory)) field.send(opener, { selected_option: option });
  };
  opener.addEventListener("click", () => toggle(!floating.isOpen));
  items.forEach((item, index) => item.addEventListener("click", () => choose(element.options[index])));
  menu.addEventListener("keydown", (event) => menuKey(event, items, () => (toggle(false), opener.focus())));
  return h("span", { class: "overflow" }, opener, menu);
}

function menuItem(option, directory) {
  const url = option.url && safeUrl(option.url);
  const inside = [
    renderText(option.text, directory),
    option.description && h("small", {}, unescapeEntities(option.description.text)),
  ];
  if (url)
    return h(
      "a",
      { role: "menuitem", class: "menu-item", href: url, target: "_blank", rel: "noopener noreferrer", tabindex: "-1" },
      inside,
    );
  return h("button", { type: "button", role: "menuitem", class: "menu-item", tabindex: "-1" }, inside);
}

function menuKey(event, items, leave) {
  const at = items.indexOf(document.activeElement);
  const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (target !== undefined) {
    event.preventDefault();
    items.at(target % items.length).focus();
  } else if (event.key === "Escape" || event.key === "Tab") {
    event.preventDefault();
    event.stopPropagation();
    leave();
  }
}
