/**
 * Builds DOM nodes. Everything foreign enters the page as a text node or an attribute value set here; no module writes HTML.
 */

/**
 * @param {string} tag
 * @param {Object<string, *>} props attributes; `on` maps events to listeners, `vars` maps CSS custom properties, `value` is the property
 * @param {...(Node|string|Array|null|false|undefined)} children
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProp(node, name, value);
  node.append(...present(children));
  return node;
}

export function fragment(...children) {
  const node = document.createDocumentFragment();
  node.append(...present(children));
  return node;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

function setProp(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  } else if (name === "vars") {
    for (const [property, setting] of Object.entries(value)) node.style.setProperty(property, setting);
  } else if (name === "value") {
    node.value = value;
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

let lastId = 0;

/** A document-wide unique id, for labels and descriptions. */
export function uniqueId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

const LINK_SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** The URL when it is safe to follow, else null: a script or data URL must stay text. */
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return LINK_SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const PERMALINK = /^\/archives\/(\w+)\/p(\d+)$/;

/** A link out of the page; the permalink of a message leads to its place in the page instead. */
export function link(url, ...children) {
  const { origin, pathname } = new URL(url);
  const permalink = origin === location.origin && PERMALINK.exec(pathname);
  if (permalink) return h("a", { href: `#channel=${permalink[1]}&message=p${permalink[2]}` }, ...children);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, ...children);
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  hash: "M9 4 7 20M17 4l-2 16M4 9h16M3.5 15h16",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "m6 6 12 12M18 6 6 18",
  back: "m14 6-6 6 6 6",
  send: "M5 12h13M12.5 6l6 6-6 6",
  chevron: "m7 10 5 5 5-5",
  reply: "M20 18v-2a5 5 0 0 0-5-5H5M9.5 6.5 5 11l4.5 4.5",
  eye: "M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6ZM12 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5",
  warning: "M12 4 3 19.5h18ZM12 10v4.5M12 17v.2",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  down: "M12 5v13M6.5 13l5.5 5.5 5.5-5.5",
  external: "M9 6h9v9M18 6 7 17",
  gate: "M6 20v-9a6 6 0 0 1 12 0v9M4 20h16M15 14v.2",
  check: "m5 12.5 4.5 4.5L19 7.5",
};

/** A line icon; decorative, so its control carries the label. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function iconButton(name, label, onClick, props = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click: onClick }, ...props },
    icon(name),
  );
}
