/**
 * Slack's mrkdwn as DOM nodes. The source is foreign text: it becomes text nodes and a closed set of elements, never HTML.
 */
import { fragment, h, link, safeUrl } from "./dom.js";
import { broadcastMention, channelMention, groupMention, personMention } from "./directory.js";
import { emojiText } from "./glyphs.js";
import { moment, slackDate } from "./time.js";

const EMPHASIS = { "*": "strong", _: "em", "~": "s" };
const SPECIAL = /<([^<>\n]+)>/y;
const CODE = /`([^`\n]+)`/y;
const SHORTCODE = /:[a-z0-9_+-]+:/y;
const BARE_URL = /https?:\/\/[^\s<>|"]+/y;
const WORD = /[\p{L}\p{N}]/u;

/** Slack escapes exactly these three. */
export function unescapeEntities(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

/** A plain_text object's text: no marks, only emoji. */
function renderPlain(text) {
  return fragment(emojiText(unescapeEntities(text)));
}

/** A text composition object, of either type. */
export function renderText(object, directory) {
  if (typeof object === "string") return renderPlain(object);
  return object.type === "mrkdwn" ? renderMrkdwn(object.text, directory, object.verbatim) : renderPlain(object.text);
}

/** @param {boolean} verbatim leave bare URLs as text */
export function renderMrkdwn(source, directory, verbatim = false) {
  const inline = (text) => renderInline(text, { directory, verbatim });
  const parts = source.split(/```\n?([\s\S]+?)```/);
  return fragment(
    parts.map((part, index) =>
      index % 2 ? h("pre", {}, unescapeEntities(part.replace(/\n$/, ""))) : renderLines(part, inline),
    ),
  );
}

/** Groups lines into quotes and running text. */
function renderLines(text, inline) {
  const trimmed = text.replace(/^\n+|\n+$/g, "");
  if (trimmed === "") return [];
  const runs = [];
  for (const line of trimmed.split("\n")) {
    const quoted = line.match(/^(?:&gt;|>)\s?(.*)$/);
    const kind = quoted ? "quote" : "text";
    const content = quoted ? quoted[1] : line;
    if (runs.at(-1)?.kind === kind) runs.at(-1).lines.push(content);
    else runs.push({ kind, lines: [content] });
  }
  return runs.map(({ kind, lines }) => h(kind === "quote" ? "blockquote" : "p", {}, brokenLines(lines.map(inline))));
}

/** Lines under each other; one that begins with an emoji hangs behind it when it wraps, as the items of a checklist do. */
function brokenLines(lines) {
  const isItem = (nodes) => nodes?.[0] instanceof Element && nodes[0].matches(".glyph, .emoji");
  return lines.flatMap((nodes, index) => {
    const needsBreak = index > 0 && !isItem(nodes) && !isItem(lines[index - 1]);
    return [needsBreak && h("br"), isItem(nodes) ? h("span", { class: "status-line" }, nodes) : nodes];
  });
}

function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** One line's marks, left to right. */
function renderInline(text, context) {
  const nodes = [];
  let plain = "";
  const flush = () => {
    nodes.push(...emojiText(unescapeEntities(plain)));
    plain = "";
  };
  for (let at = 0; at < text.length;) {
    const found = tokenAt(text, at, context);
    if (found?.node) {
      flush();
      nodes.push(found.node);
    } else {
      plain += found ? text.slice(at, at + found.length) : text[at];
    }
    at += found?.length ?? 1;
  }
  flush();
  return nodes;
}

/** The mark that begins at `at`: its length, and its node (none: keep the characters together as text). */
function tokenAt(text, at, context) {
  const char = text[at];
  let match;
  if (char === "<" && (match = matchAt(SPECIAL, text, at))) {
    const node = special(match[1], context.directory);
    return node && { node, length: match[0].length };
  }
  if (char === "`" && (match = matchAt(CODE, text, at))) {
    return { node: h("code", {}, unescapeEntities(match[1])), length: match[0].length };
  }
  if (char === ":" && (match = matchAt(SHORTCODE, text, at))) return { length: match[0].length };
  if (char === "h" && !context.verbatim && !WORD.test(text[at - 1] ?? "") && (match = matchAt(BARE_URL, text, at)))
    return bareLink(match[0]);
  if (char in EMPHASIS) return emphasis(text, at, context);
  return null;
}

function bareLink(matched) {
  const address = matched.replace(/[.,;:!?)*_~']+$/, "");
  const url = safeUrl(unescapeEntities(address));
  return url && { node: link(url, unescapeEntities(address)), length: address.length };
}

function emphasis(text, at, context) {
  const mark = text[at];
  if (WORD.test(text[at - 1] ?? "") || /\s/.test(text[at + 1] ?? " ") || text[at + 1] === mark) return null;
  const end = closing(text, at + 1, mark);
  if (end < 0) return null;
  return { node: h(EMPHASIS[mark], {}, renderInline(text.slice(at + 1, end), context)), length: end + 1 - at };
}

/** Where the mark opened before `from` closes; marks inside links, code and shortcodes do not count. */
function closing(text, from, mark) {
  for (let at = from; at < text.length; at += 1) {
    const atom = matchAt(SPECIAL, text, at) ?? matchAt(CODE, text, at) ?? matchAt(SHORTCODE, text, at);
    if (atom) at += atom[0].length - 1;
    else if (text[at] === mark && !/\s/.test(text[at - 1]) && !WORD.test(text[at + 1] ?? "")) return at;
  }
  return -1;
}

/** What stands between < and >; null when it is none of Slack's forms. */
function special(body, directory) {
  const [target, label = null] = splitOnce(body, "|");
  if (/^@[UW]\w+$/.test(target)) return personMention(target.slice(1), directory, label);
  if (/^#[CGD]\w+$/.test(target)) return channelMention(target.slice(1), directory, label);
  if (target.startsWith("!subteam^")) return groupMention(target.slice(9), directory, label);
  if (/^!(here|channel|everyone)$/.test(target)) return broadcastMention(target.slice(1));
  if (target.startsWith("!date^")) return dateNode(target, label ?? "");
  const url = safeUrl(unescapeEntities(target));
  return url && link(url, emojiText(unescapeEntities(label ?? target.replace(/^mailto:/, ""))));
}

function dateNode(target, fallback) {
  const [, seconds, pattern = "{date_num}", address = ""] = target.split("^");
  const text = slackDate(Number(seconds), unescapeEntities(pattern), unescapeEntities(fallback));
  const node = h("time", { title: Number.isNaN(Number(seconds)) ? null : moment(seconds) }, text);
  const url = address && safeUrl(unescapeEntities(address));
  return url ? link(url, node) : node;
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
