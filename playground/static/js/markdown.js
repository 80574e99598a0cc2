/**
 * The part of CommonMark that Slack's markdown block shows, as DOM nodes. Foreign text stays text; raw HTML is not a feature.
 */
import { fragment, h, link, safeUrl } from "./dom.js";
import { emojiText } from "./glyphs.js";

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const ITEM = /^(\s*)(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const RULE = /^\s*([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^\s*>\s?(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

const INLINE = [
  [/`([^`]+)`/y, (match) => h("code", {}, match[1])],
  [/\[([^\]]+)\]\(([^)\s]+)\)/y, (match) => linked(match[2], match[1])],
  [/\*\*(?=\S)(.+?)\*\*/y, (match) => h("strong", {}, renderInline(match[1]))],
  [/__(?=\S)(.+?)__/y, (match) => h("strong", {}, renderInline(match[1]))],
  [/~~(?=\S)(.+?)~~/y, (match) => h("s", {}, renderInline(match[1]))],
  [/\*(?=\S)([^*]+)\*/y, (match) => h("em", {}, renderInline(match[1]))],
  [/_(?=\S)([^_]+)_(?!\w)/y, (match) => h("em", {}, renderInline(match[1]))],
  [/https?:\/\/[^\s<>)]+/y, (match) => linked(match[0], match[0])],
];

export function renderMarkdown(source) {
  const lines = source.replaceAll("\r\n", "\n").split("\n");
  const nodes = [];
  while (lines.length) {
    const node = nextBlock(lines);
    if (node) nodes.push(node);
  }
  return fragment(nodes);
}

/** Takes one block's lines off the front. */
function nextBlock(lines) {
  const line = lines[0];
  if (line.trim() === "") return void lines.shift();
  if (FENCE.test(line)) return fenced(lines);
  const heading = HEADING.exec(line);
  if (heading) {
    lines.shift();
    return h(`h${Math.min(heading[1].length + 2, 6)}`, { class: `md-h${heading[1].length}` }, renderInline(heading[2]));
  }
  if (RULE.test(line)) {
    lines.shift();
    return h("hr");
  }
  if (QUOTE.test(line))
    return h(
      "blockquote",
      {},
      renderMarkdown(
        takeWhile(lines, QUOTE)
          .map((quoted) => QUOTE.exec(quoted)[1])
          .join("\n"),
      ),
    );
  if (ITEM.test(line)) return list(lines);
  if (line.includes("|") && TABLE_RULE.test(lines[1] ?? "")) return table(lines);
  return paragraph(lines);
}

function takeWhile(lines, pattern) {
  const taken = [];
  while (lines.length && pattern.test(lines[0])) taken.push(lines.shift());
  return taken;
}

function fenced(lines) {
  const mark = FENCE.exec(lines.shift())[1];
  const code = [];
  while (lines.length && !lines[0].trim().startsWith(mark)) code.push(lines.shift());
  lines.shift();
  return h("pre", {}, code.join("\n"));
}

/** A list and the deeper lists in it, told by their indentation. */
function list(lines) {
  const [, indent, number] = ITEM.exec(lines[0]);
  const items = [];
  while (lines.length) {
    const match = ITEM.exec(lines[0]);
    if (!match || match[1].length < indent.length) break;
    if (match[1].length > indent.length + 1 && items.length) {
      items.at(-1).append(list(lines));
    } else {
      lines.shift();
      items.push(h("li", {}, renderInline(match[3])));
    }
  }
  return number ? h("ol", { start: number }, items) : h("ul", {}, items);
}

function table(lines) {
  const cells = (line) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => cell.trim());
  const head = cells(lines.shift());
  lines.shift();
  const rows = takeWhile(lines, /\|/).map(cells);
  return h(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    h(
      "table",
      {},
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((cell) => h("th", { scope: "col" }, renderInline(cell))),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((cell) => h("td", {}, renderInline(cell))),
          ),
        ),
      ),
    ),
  );
}

function paragraph(lines) {
  const taken = [lines.shift()];
  while (
    lines.length &&
    lines[0].trim() !== "" &&
    ![FENCE, HEADING, QUOTE, ITEM, RULE].some((start) => start.test(lines[0]))
  )
    taken.push(lines.shift());
  return h(
    "p",
    {},
    taken.flatMap((line, index) => (index ? [h("br"), renderInline(line)] : [renderInline(line)])),
  );
}

function renderInline(text) {
  const nodes = [];
  let plain = "";
  for (let at = 0; at < text.length;) {
    const found = inlineAt(text, at);
    if (!found) {
      plain += text[at];
      at += 1;
      continue;
    }
    nodes.push(...emojiText(plain), found.node);
    plain = "";
    at += found.length;
  }
  return [...nodes, ...emojiText(plain)];
}

function inlineAt(text, at) {
  const insideWord = /\w/.test(text[at - 1] ?? "");
  for (const [pattern, build] of INLINE) {
    if (insideWord && text[at] === "_") return null;
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) return { node: build(match), length: match[0].length };
  }
  return null;
}

function linked(address, label) {
  const url = safeUrl(address);
  return url ? link(url, emojiText(label)) : h("span", {}, label);
}
