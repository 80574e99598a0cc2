/**
 * The main column: the open conversation with its header, its messages or the app's Home, and the message box.
 */
import { fragment, h, icon, iconButton } from "./dom.js";
import { Composer } from "./composer.js";
import { parseUsageHint } from "./completion.js";
import { keepFocus } from "./focus.js";
import { Home } from "./home.js";
import { MessageList } from "./message_list.js";

const TABS = [
  ["home", "Home"],
  ["messages", "Messages"],
];

export class ChannelColumn {
  #channel = null;

  constructor(element, { session, store, surfaceOf, viewSurfaceOf, vocabulary }) {
    Object.assign(this, { element, session, store });
    this.head = h("header", { class: "channel-head" });
    this.note = h("p", { class: "channel-note", hidden: true });
    this.earlier = h(
      "button",
      { type: "button", class: "button earlier", hidden: true, on: { click: () => session.loadEarlier() } },
      "Show earlier messages",
    );
    this.intro = h("div", { class: "intro" });
    this.list = new MessageList({
      label: "Messages",
      surfaceOf,
      onBottom: () => this.#read(),
      onThread: (message) => session.openThread(message.thread_ts ?? message.ts),
      header: h("div", { class: "log-head" }, this.intro, this.earlier),
    });
    this.home = new Home(viewSurfaceOf);
    this.composer = new Composer({ id: "composer", vocabulary, onSend: (text) => this.#send(text) });
    element.append(this.head, this.note, this.home.element, this.list.element, this.composer.element);
    document.addEventListener("visibilitychange", () => this.#read());
  }

  async #send(text) {
    this.list.toBottom();
    return this.session.send(text);
  }

  #read() {
    if (!document.hidden && this.store.state.tab === "messages" && !this.store.state.loading) this.session.markRead();
  }

  /** Another conversation, or news about this one. */
  showPlace(state) {
    const channel = state.directory.channel(state.channel);
    if (!channel) return;
    const key = `${state.as} ${channel.id}`;
    if (key !== this.#channel) {
      this.#channel = key;
      this.list.reset();
      this.composer.reset();
    }
    const isHome = channel.kind === "app" && state.tab === "home";
    keepFocus(this.head, () => this.head.replaceChildren(this.#header(channel, state)));
    this.#describe(channel, state);
    this.home.element.hidden = !isHome;
    this.list.element.hidden = isHome;
    this.composer.element.hidden = isHome;
  }

  #header(channel, { directory, app, tab }) {
    const named = channel.kind === "public" || channel.kind === "private";
    const title = directory.channelTitle(channel);
    const detail = channel.kind === "dm" ? directory.person(channel.with).title : channel.topic;
    const hint = named ? memberHint(channel, app) : null;
    return fragment(
      iconButton("menu", "Channels and people", () => this.store.update({ drawer: true }), {
        class: "icon-button drawer-opener",
      }),
      h(
        "div",
        { class: "channel-title" },
        h("h2", {}, named && icon(channel.kind === "private" ? "lock" : "hash"), title),
        detail && h("p", { class: "topic", title: detail }, detail),
      ),
      channel.kind === "app" && app.home_tab
        ? this.#tabs(channel, tab)
        : hint && h("p", { class: "member-hint" }, hint),
    );
  }

  #tabs(channel, tab) {
    const buttons = TABS.map(([id, label]) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${id}`,
          "data-action": `tab-${id}`,
          "aria-selected": String(tab === id),
          tabindex: tab === id ? "0" : "-1",
          on: { click: () => this.session.openChannel(channel.id, id) },
        },
        label,
      ),
    );
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": "App" }, buttons);
    list.addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      buttons.find((button) => button.getAttribute("aria-selected") === "false").click();
      this.head.querySelector("[aria-selected=true]").focus();
    });
    return list;
  }

  #describe(channel, { directory, app }) {
    const title = `${channel.kind === "dm" || channel.kind === "app" ? "" : "#"}${directory.channelTitle(channel)}`;
    const obstacle = channel.archived
      ? `${title} is archived`
      : !channel.is_member && `You are not a member of ${title}: you can read here, not write`;
    this.composer.describe(obstacle || `Message ${title}`, Boolean(obstacle));
    const isWithoutApp =
      (channel.kind === "public" || channel.kind === "private") && !channel.bot_is_member && !channel.archived;
    this.note.hidden = !isWithoutApp;
    this.note.textContent = isWithoutApp
      ? `${app.name} is not in this channel: commands work, but it cannot post here.`
      : "";
  }

  showMessages(state) {
    if (state.loading) return;
    this.earlier.hidden = !state.hasMore;
    this.intro.hidden = state.hasMore || state.messages.length > 3;
    this.list.sync(state.messages, state.directory);
    if (this.list.isAtBottom) this.#read();
  }

  showIntro({ directory, channel: id, commands, loading }) {
    const channel = directory.channel(id);
    if (!channel || loading) return;
    const title = `${channel.kind === "public" || channel.kind === "private" ? "#" : ""}${directory.channelTitle(channel)}`;
    const tries = thingsToTry(commands).map((text) =>
      h("button", { type: "button", class: "try", on: { click: () => this.composer.propose(`${text} `) } }, text),
    );
    this.intro.replaceChildren(
      h("h3", {}, title),
      h("p", {}, channel.topic || "This is the beginning of the conversation."),
      tries.length ? h("div", { class: "tries" }, h("span", {}, "Things to try"), tries) : "",
    );
  }

  showHome({ home, homeLoaded, directory }) {
    this.home.show(home, homeLoaded, directory);
  }
}

function memberHint(channel, app) {
  return [
    channel.is_member ? "You are a member" : "You are not a member",
    channel.bot_is_member && `with ${app.name}`,
    channel.ext_shared && "shared with another company",
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Up to three commands worth a first try, taken from what the workspace's apps say of themselves. */
function thingsToTry(commands) {
  return commands
    .flatMap(({ command, usage_hint: hint }) => [
      ...parseUsageHint(hint).map(({ verb }) => `${command} ${verb}`),
      command,
    ])
    .slice(0, 3);
}
