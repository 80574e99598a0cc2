/**
 * Names behind ids: people, user groups, channels. Pure look-ups, and the small pieces (avatar, mention) that show them.
 */
import { h, icon } from "./dom.js";

const WHY_NOT = { deactivated: "This account is closed: nobody can act as it.", bot: "An app acts by itself." };
const KINDS = {
  guest_multi: "guest",
  guest_single: "guest",
  external: "external",
  deactivated: "deactivated",
  bot: "app",
};

export class Directory {
  constructor({ people, groups, app, self = null, sidebar = { channels: [], direct: [] } }) {
    this.people = people;
    this.app = app;
    this.self = self;
    this.sidebar = sidebar;
    this.peopleById = new Map(people.map((person) => [person.id, person]));
    this.groupsById = new Map(groups.map((group) => [group.id, group]));
    this.channelsById = new Map([...sidebar.channels, ...sidebar.direct].map((channel) => [channel.id, channel]));
  }

  /** The same names as seen by one person, who sees some channels only. */
  seenBy(self, sidebar) {
    return new Directory({ people: this.people, groups: [...this.groupsById.values()], app: this.app, self, sidebar });
  }

  person(id) {
    return (
      this.peopleById.get(id) ?? {
        id,
        name: id,
        real_name: id,
        title: "",
        kind: "member",
        initials: "?",
        color: "#77808a",
        can_act: false,
      }
    );
  }

  group(id) {
    return this.groupsById.get(id) ?? null;
  }

  channel(id) {
    return this.channelsById.get(id) ?? null;
  }

  /** What a channel is called in the sidebar and in titles. */
  channelTitle(channel) {
    if (channel.kind === "app") return this.app.name;
    if (channel.kind === "dm") return this.person(channel.with).real_name;
    return channel.name;
  }
}

/** "Developer in team orders · guest": the title, and the kind of account where it is not an ordinary one. */
export function standing(person) {
  return [person.title, KINDS[person.kind]].filter(Boolean).join(" · ");
}

/** The name, with a badge for an account that is not an ordinary one. */
export function nameWithKind(person) {
  const kind = KINDS[person.kind];
  return h("strong", {}, person.real_name, kind && [" ", h("span", { class: "badge" }, kind)]);
}

/** Why nobody can act as this person, or null. */
export function whyNot(person) {
  return person.can_act ? null : (WHY_NOT[person.kind] ?? "cannot act here");
}

/** Black or white, whichever reads better on `color` ("#rrggbb"). */
function inkOn(color) {
  const channel = (at) => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2;
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return luminance > 0.22 ? "#14181c" : "#ffffff";
}

export function avatar(person, size = "") {
  const isBot = person.kind === "bot";
  return h(
    "span",
    {
      class: `avatar ${size} ${isBot ? "avatar-bot" : ""}`,
      "aria-hidden": "true",
      vars: { "--avatar": person.color, "--avatar-ink": inkOn(person.color) },
    },
    isBot ? icon("gate") : person.initials,
  );
}

export function personMention(id, directory, label = null) {
  const person = directory.person(id);
  const self = id === directory.self;
  const known = directory.peopleById.has(id);
  return h(
    "span",
    { class: `mention ${self ? "mention-self" : ""}`, title: known ? standing(person) : id },
    `@${known ? person.real_name : (label ?? id)}`,
  );
}

export function groupMention(id, directory, label = null) {
  const group = directory.group(id);
  const members = group?.members.map((member) => directory.person(member).real_name).join(", ");
  const self = group?.members.includes(directory.self);
  return h(
    "span",
    { class: `mention ${self ? "mention-self" : ""}`, title: members },
    group ? `@${group.handle}` : (label ?? `@${id}`),
  );
}

export function channelMention(id, directory, label = null) {
  const channel = directory.channel(id);
  if (!channel) return h("span", { class: "mention" }, label ? `#${label}` : "#private-channel");
  return h("a", { class: "mention", href: `#${id}` }, `#${directory.channelTitle(channel)}`);
}

export function broadcastMention(range) {
  return h("span", { class: "mention mention-self" }, `@${range}`);
}
