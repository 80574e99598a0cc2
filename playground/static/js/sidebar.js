/**
 * The workspace at a glance: who acts, the channels, the direct messages and the app, with what is unread.
 */
import { h, icon } from "./dom.js";
import { avatar } from "./directory.js";
import { keepFocus } from "./focus.js";
import { Switcher } from "./switcher.js";

export class Sidebar {
  constructor(element, { onSwitch }) {
    this.switcher = new Switcher(onSwitch);
    this.title = h("h1", { class: "workspace-name" });
    this.nav = h("nav", { class: "places", "aria-label": "Channels and messages" });
    element.append(h("header", { class: "sidebar-head" }, this.title), this.switcher.element, this.nav);
  }

  showPerson({ workspace, directory, as }) {
    this.title.replaceChildren(
      h("span", { class: "workspace-mark", "aria-hidden": "true" }, icon("gate")),
      h("span", {}, workspace.name, h("small", {}, "playground")),
    );
    this.switcher.show({ directory, as });
  }

  showPlaces({ sidebar, directory, channel: current, connected }) {
    const apps = sidebar.direct.filter(({ kind }) => kind === "app");
    const direct = sidebar.direct.filter(({ kind }) => kind !== "app");
    const row = (channel) => placeRow(channel, { directory, current, connected });
    const groups = [
      ["Channels", sidebar.channels],
      ["Direct messages", direct],
      ["App", apps],
    ];
    const lists = groups
      .filter(([, channels]) => channels.length)
      .map(([title, channels]) => h("section", {}, h("h2", {}, title), h("ul", {}, channels.map(row))));
    keepFocus(this.nav, () => this.nav.replaceChildren(...lists));
  }
}

function placeRow(channel, { directory, current, connected }) {
  const isOpen = channel.id === current;
  const unread = isOpen ? 0 : channel.unread;
  const title = directory.channelTitle(channel);
  const marks = [
    unread > 0 && "is-unread",
    channel.archived && "is-archived",
    !channel.is_member && "is-visited",
  ].filter(Boolean);
  const count = channel.mentions || unread;
  return h(
    "li",
    {},
    h(
      "a",
      { class: `place ${marks.join(" ")}`, href: `#${channel.id}`, "aria-current": isOpen ? "page" : null },
      placeIcon(channel, directory),
      h("span", { class: "place-name" }, title),
      channel.kind === "app" &&
        h("span", { class: `presence ${connected ? "is-on" : ""}`, title: connected ? "connected" : "not connected" }),
      unread > 0 &&
        h(
          "span",
          { class: `count ${channel.mentions ? "count-mention" : ""}`, "aria-label": `${count} unread` },
          count > 99 ? "99+" : count,
        ),
    ),
  );
}

function placeIcon(channel, directory) {
  if (channel.kind === "dm") return avatar(directory.person(channel.with), "avatar-small");
  if (channel.kind === "app") return avatar(directory.person(directory.app.bot_user_id), "avatar-small");
  return icon(channel.kind === "private" ? "lock" : "hash");
}
