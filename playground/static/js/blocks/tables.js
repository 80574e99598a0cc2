/**
 * The table blocks: `table`, whose first row is its head, and `data_table` with a caption.
 */
import { h, uniqueId } from "../dom.js";
import { emojiText } from "../glyphs.js";
import { renderRichText } from "./rich_text.js";

function cellContent(cell, directory) {
  if (cell.type === "rich_text") return renderRichText(cell, directory);
  return emojiText(String(cell.text ?? cell.value ?? ""));
}

export function renderTable(block, { directory }) {
  const settings = block.column_settings ?? [];
  const cell = (tag, at, content) => {
    const { align = "left", is_wrapped: wrapped } = settings[at] ?? {};
    return h(
      tag,
      { scope: tag === "th" ? "col" : null, class: `align-${align} ${wrapped ? "is-wrapped" : ""}` },
      cellContent(content, directory),
    );
  };
  const row = (tag) => (cells) =>
    h(
      "tr",
      {},
      cells.map((content, at) => cell(tag, at, content)),
    );
  const [head, ...body] = block.rows;
  const captionId = uniqueId("caption");
  return h(
    "div",
    // A wide table scrolls by itself, so it must be reachable by keyboard.
    {
      class: "table-scroll",
      tabindex: "0",
      role: "region",
      "aria-label": block.caption ? null : "Table",
      "aria-labelledby": block.caption ? captionId : null,
    },
    h(
      "table",
      {},
      block.caption && h("caption", { id: captionId }, block.caption),
      h("thead", {}, row("th")(head)),
      h("tbody", {}, body.map(row("td"))),
    ),
  );
}
