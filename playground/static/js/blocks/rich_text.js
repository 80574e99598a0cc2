/**
 * Slack's rich_text block: sections, lists, quotes and preformatted text with styled leaves.
 */
import { h, link, safeUrl } from "../dom.js";
import { broadcastMention, channelMention, groupMention, personMention } from "../directory.js";
import { emojiNode, emojiText } from "../glyphs.js";
import { slackDate } from "../time.js";

const STYLES = { bold: "strong", italic: "em", strike: "s", code: "code", underline: "u" };

const LEAVES = {
  text: (leaf) => styled(leaf, broken(leaf.text)),
  link: (leaf) => {
    const url = safeUrl(leaf.url);
    const label = leaf.text ?? leaf.url;
    return styled(leaf, url ? link(url, emojiText(label)) : label);
  },
  user: (leaf, directory) => personMention(leaf.user_id, directory),
  usergroup: (leaf, directory) => groupMention(leaf.usergroup_id, directory),
  channel: (leaf, directory) => channelMention(leaf.channel_id, directory),
  broadcast: (leaf) => broadcastMention(leaf.range),
  emoji: (leaf) => emojiNode(leaf.name, leaf.unicode && characters(leaf.unicode)),
  date: (leaf) => h("time", {}, slackDate(leaf.timestamp, leaf.format ?? "{date_num}", leaf.fallback ?? "")),
  color: (leaf) => h("code", {}, leaf.value),
};

const PARTS = {
  rich_text_section: (part, directory) => h("p", {}, leaves(part, directory)),
  rich_text_quote: (part, directory) => h("blockquote", {}, leaves(part, directory)),
  rich_text_preformatted: (part) =>
    h(
      "pre",
      {},
      part.elements.map((leaf) => leaf.text ?? leaf.url ?? ""),
    ),
  rich_text_list: (part, directory) =>
    h(
      part.style === "ordered" ? "ol" : "ul",
      { class: `rich-list indent-${Math.min(part.indent ?? 0, 8)}`, start: part.offset ? part.offset + 1 : null },
      part.elements.map((item) => h("li", {}, leaves(item, directory))),
    ),
};

function characters(unicode) {
  return String.fromCodePoint(...unicode.split("-").map((code) => parseInt(code, 16)));
}

function broken(text) {
  return text.split("\n").flatMap((line, index) => (index ? [h("br"), ...emojiText(line)] : emojiText(line)));
}

function styled(leaf, inside) {
  return Object.keys(STYLES)
    .filter((style) => leaf.style?.[style])
    .reduce((node, style) => h(STYLES[style], {}, node), inside);
}

function leaves(part, directory) {
  return part.elements.map((leaf) => LEAVES[leaf.type]?.(leaf, directory) ?? leaf.text ?? "");
}

export function renderRichText(block, directory) {
  return h(
    "div",
    { class: "prose" },
    block.elements.map((part) => PARTS[part.type]?.(part, directory)),
  );
}
