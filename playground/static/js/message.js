/**
 * One message: who, when, what, its marks (ephemeral, edited, system), and the way into its thread.
 */
import { h, icon, iconButton } from "./dom.js";
import { avatar, standing } from "./directory.js";
import { emojiNode } from "./glyphs.js";
import { renderMrkdwn } from "./mrkdwn.js";
import { renderBlocks } from "./blocks/index.js";
import { clock, dayAndClock, moment, toDate } from "./time.js";

/**
 * @param {Object} message
 * @param {{directory: Object, surface: Object, grouped: boolean, onThread: ?function(Object)}} context `grouped`: follows one of the same author
 */
export function renderMessage(message, { directory, surface, grouped, onThread }) {
  const author = directory.person(message.user);
  const isApp = author.kind === "bot";
  const marks = [
    message.ephemeral && "is-ephemeral",
    message.system && "is-system",
    message.pending && "is-pending",
    grouped && "is-grouped",
    message.user === directory.self && "is-mine",
  ];
  return h(
    "article",
    {
      class: `message ${marks.filter(Boolean).join(" ")}`,
      "data-ts": message.ts,
      "aria-label": `${author.real_name}, ${clock(message.ts)}`,
    },
    h("div", { class: "message-gutter" }, grouped ? timeOf(message) : message.system ? systemAvatar() : avatar(author)),
    h(
      "div",
      { class: "message-body" },
      message.ephemeral && h("p", { class: "only-you" }, icon("eye"), "Only visible to you"),
      !grouped && heading(message, author, isApp),
      contentOf(message, directory, surface),
      Object.keys(message.reactions ?? {}).length > 0 && reactionsOf(message, directory),
      message.reply_count > 0 && onThread && threadLink(message, onThread),
    ),
    onThread &&
      !message.ephemeral &&
      h(
        "div",
        { class: "message-tools" },
        iconButton("reply", "Reply in thread", () => onThread(message)),
      ),
  );
}

function heading(message, author, isApp) {
  return h(
    "p",
    { class: "message-head" },
    h("span", { class: "author", title: standing(author) }, message.system ? "Playground" : author.real_name),
    (isApp || message.system) && h("span", { class: "badge" }, message.system ? "system" : "app"),
    timeOf(message),
  );
}

function timeOf({ ts }) {
  return h("time", { datetime: toDate(ts).toISOString(), title: moment(ts) }, clock(ts));
}

function systemAvatar() {
  return h("span", { class: "avatar avatar-system", "aria-hidden": "true" }, icon("warning"));
}

function contentOf(message, directory, surface) {
  const edited = message.edited && h("span", { class: "edited" }, "(edited)");
  if (message.blocks?.length)
    return h("div", { class: "blocks message-card" }, renderBlocks(message.blocks, surface), edited);
  return h("div", { class: "prose message-text" }, renderMrkdwn(message.text ?? "", directory), edited);
}

function reactionsOf({ reactions }, directory) {
  const reaction = ([name, users]) =>
    h(
      "span",
      { class: "reaction", title: users.map((id) => directory.person(id).real_name).join(", ") },
      emojiNode(name),
      ` ${users.length}`,
    );
  return h("p", { class: "reactions" }, Object.entries(reactions).map(reaction));
}

function threadLink(message, onThread) {
  const count = message.reply_count;
  return h(
    "button",
    { type: "button", class: "thread-link", on: { click: () => onThread(message) } },
    icon("reply"),
    `${count} ${count === 1 ? "reply" : "replies"}`,
    message.latest_reply && h("span", { class: "thread-latest" }, `last ${dayAndClock(message.latest_reply)}`),
  );
}
