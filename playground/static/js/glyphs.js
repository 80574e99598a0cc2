/**
 * The page's own drawings for the emoji that carry meaning on a card, so that a status looks the same where no emoji font is
 * installed. Turns text with shortcodes into nodes; every other emoji is left to the system's font.
 */
import { emoji } from "./emoji.js";
import { h } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const DISC = "M12 2.5a9.5 9.5 0 1 0 0 19 9.5 9.5 0 0 0 0-19Z";
const OCTAGON = "M8 2.5h8L21.5 8v8L16 21.5H8L2.5 16V8Z";
const SQUARE = "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2Z";

/** name: [tone, filled outline, strokes on it] */
const GLYPHS = {
  white_check_mark: ["good", DISC, "m7.5 12.3 3.2 3.2 5.8-6.4"],
  heavy_check_mark: ["good", "", "m5 12.5 4.5 4.5L19 7.5"],
  x: ["bad", DISC, "m8.5 8.5 7 7M15.5 8.5l-7 7"],
  no_entry: ["bad", DISC, "M7.5 12h9"],
  no_entry_sign: ["bad", DISC, "m6.5 17.5 11-11"],
  octagonal_sign: ["bad", OCTAGON, "M12 7v6M12 16.5v.2"],
  warning: ["warn", "M12 2.8 1.8 20.8h20.4Z", "M12 9v5.5M12 17.5v.2"],
  hourglass: ["wait", DISC, "M12 6.5V12l3.5 2.5"],
  hourglass_flowing_sand: ["wait", DISC, "M12 6.5V12l3.5 2.5"],
  arrows_counterclockwise: ["busy", DISC, "M16.5 9.5a5 5 0 1 0 .4 4M16.8 6.5v3.2h-3.2"],
  arrow_forward: ["busy", DISC, "m10 8 6 4-6 4Z"],
  leftwards_arrow_with_hook: ["wait", DISC, "M10 7.5 7 10.5l3 3M7.3 10.5h6.2a3 3 0 0 1 0 6H11"],
  double_vertical_bar: ["wait", DISC, "M9.5 8v8M14.5 8v8"],
  information_source: ["busy", DISC, "M12 11v5.5M12 7.5v.2"],
  rewind: ["wait", DISC, "m11 8.5-4 3.5 4 3.5M16.5 8.5l-4 3.5 4 3.5"],
  grey_question: ["wait", DISC, "M9.6 9.4a2.4 2.4 0 1 1 3.7 2.1c-.9.6-1.3 1-1.3 2M12 16.9v.2"],
  question: ["bad", DISC, "M9.6 9.4a2.4 2.4 0 1 1 3.7 2.1c-.9.6-1.3 1-1.3 2M12 16.9v.2"],
  raised_hand: ["warn", OCTAGON, "M12 7v6M12 16.5v.2"],
  heavy_multiplication_x: ["bad", "", "m6 6 12 12M18 6 6 18"],
  rotating_light: ["bad", DISC, "M12 6.5v7M12 17v.2"],
  moneybag: [
    "wait",
    DISC,
    "M14.9 9.3c-.6-.9-1.6-1.3-2.9-1.3-1.6 0-2.8.7-2.8 1.9 0 2.8 5.8 1.4 5.8 4.1 0 1.3-1.3 2-3 2-1.4 0-2.5-.5-3.1-1.5M12 6.3v11.4",
  ],
  rocket: [
    "busy",
    "M12 1.8c3.4 2.5 4.9 6.2 4.4 10.6l2.6 2.9v5l-4.2-2.2H9.2L5 20.3v-5l2.6-2.9C7.1 8 8.6 4.3 12 1.8Z",
    "M12 8.9v.3M12 20.6v1.6",
  ],
  lock: ["wait", "", "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3"],
  memo: ["wait", "", "M6.5 3.5h7.5l4 4v13H6.5zM10 11.5h4.5M10 15.5h4.5"],
  gear: [
    "wait",
    "",
    "M12 8.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4M12 3v3M12 18v3M3 12h3M18 12h3M5.6 5.6l2.1 2.1M16.3 16.3l2.1 2.1M5.6 18.4l2.1-2.1M16.3 7.7l2.1-2.1",
  ],
  red_circle: ["bad", DISC, ""],
  large_green_circle: ["good", DISC, ""],
  large_yellow_circle: ["warn", DISC, ""],
  large_orange_circle: ["warn", DISC, ""],
  large_blue_circle: ["busy", DISC, ""],
  white_circle: ["ring", DISC, ""],
  black_circle: ["ink", DISC, ""],
  white_large_square: ["ring", SQUARE, ""],
  large_green_square: ["good", SQUARE, ""],
};
const NAMES_BY_CHARACTER = new Map(Object.keys(GLYPHS).map((name) => [emoji(name).replace("\uFE0F", ""), name]));
const CHARACTERS = [...NAMES_BY_CHARACTER.keys()].join("|");
const PATTERN = new RegExp(`:([a-z0-9_+-]+):|(?:${CHARACTERS})\\uFE0F?`, "gu");

function path(className, data) {
  const node = document.createElementNS(SVG, "path");
  node.setAttribute("class", className);
  node.setAttribute("d", data);
  return node;
}

function glyph(name) {
  const [tone, outline, strokes] = GLYPHS[name];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `glyph glyph-${tone}${outline ? "" : " glyph-bare"}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", name.replaceAll("_", " "));
  if (outline) svg.append(path("glyph-shape", outline));
  if (strokes) svg.append(path("glyph-stroke", strokes));
  return svg;
}

/** One emoji by its shortcode name: a drawing, a character, or the code as text. */
export function emojiNode(name, fallback = `:${name}:`) {
  if (Object.hasOwn(GLYPHS, name)) return glyph(name);
  return h("span", { class: "emoji", title: `:${name}:` }, emoji(name) ?? fallback);
}

/** Text with its emoji as nodes; what is no known emoji stays text. */
export function emojiText(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(PATTERN)) {
    const name = match[1] ?? NAMES_BY_CHARACTER.get(match[0].replace("\uFE0F", ""));
    if (emoji(name) === null) continue;
    nodes.push(text.slice(end, match.index), emojiNode(name));
    end = match.index + match[0].length;
  }
  return [...nodes, text.slice(end)].filter((node) => node !== "");
}
