/**
 * Slack's select menus, single and multiple: options given, people, conversations, or asked of the app.
 */
import { unescapeEntities } from "../mrkdwn.js";
import { withEmoji } from "../emoji.js";
import { standing } from "../directory.js";
import { askConfirm } from "../confirm.js";
import { Combobox, narrowed } from "./combobox.js";
import { content, withContent } from "./values.js";

const DEFAULT_MIN_QUERY = 3;
const plain = (object) => withEmoji(unescapeEntities(object.text));

function slackOption(option) {
  return {
    key: option.value,
    label: plain(option.text),
    description: option.description && plain(option.description),
    raw: option,
  };
}

function slackGroups({ options, option_groups: groups }) {
  if (groups) return groups.map((group) => ({ label: plain(group.label), options: group.options.map(slackOption) }));
  return [{ label: null, options: (options ?? []).map(slackOption) }];
}

function personOption(person) {
  return {
    key: person.id,
    label: person.real_name,
    description: standing(person) || `@${person.name}`,
    raw: person.id,
  };
}

function channelOption(channel, directory) {
  const named = channel.kind === "public" || channel.kind === "private";
  return {
    key: channel.id,
    label: `${named ? "#" : ""}${directory.channelTitle(channel)}`,
    description: channel.topic,
    raw: channel.id,
  };
}

function people(directory) {
  return [
    {
      label: null,
      options: directory.people.filter(({ kind }) => kind !== "deactivated" && kind !== "bot").map(personOption),
    },
  ];
}

const WANTED_KINDS = { public: "public", private: "private", im: "dm", mpim: "mpim" };

function conversations(directory, filter) {
  const wanted = filter?.include?.map((kind) => WANTED_KINDS[kind]);
  const { channels, direct } = directory.sidebar;
  const fitting = [...channels, ...direct].filter(
    (channel) => !channel.archived && (wanted ? wanted.includes(channel.kind) : true),
  );
  return [{ label: null, options: fitting.map((channel) => channelOption(channel, directory)) }];
}

/** kind of select -> its groups, at once or asked for, and how a held value reads as an option */
const SOURCES = {
  static: (element) => ({ groups: slackGroups(element), toOption: slackOption }),
  external: (element, { surface, blockId }) => ({
    remote: async (query) => slackGroups(await surface.suggest(blockId, element.action_id, query)),
    toOption: slackOption,
  }),
  users: (_, { surface: { directory } }) => ({
    groups: people(directory),
    toOption: (id) => personOption(directory.person(id)),
  }),
  conversations: (element, { surface: { directory } }) => ({
    groups: conversations(directory, element.filter),
    toOption: (id) => heldChannel(id, directory),
  }),
  channels: (_, { surface: { directory } }) => ({
    groups: conversations(directory, { include: ["public"] }),
    toOption: (id) => heldChannel(id, directory),
  }),
};

function heldChannel(id, directory) {
  const channel = directory.channel(id);
  return channel ? channelOption(channel, directory) : { key: id, label: id, description: null, raw: id };
}

export function renderSelect(element, field) {
  const multiple = element.type.startsWith("multi_");
  const kind = element.type.replace("multi_", "").replace("_select", "");
  const { groups, remote, toOption } = SOURCES[kind](element, field);
  const value = field.adopt();
  const held = content(value);
  const change = async (selected, node) => {
    if (element.confirm && !(await askConfirm(element.confirm, field.surface.directory))) return;
    const raws = selected.map((option) => option.raw);
    field.change(node, withContent(value, multiple ? raws : (raws[0] ?? null)));
  };
  return new Combobox({
    naming: field.naming,
    actionId: element.action_id,
    placeholder: element.placeholder && plain(element.placeholder),
    multiple,
    selected: (multiple ? (held ?? []) : held === null ? [] : [held]).map(toOption),
    maxSelected: element.max_selected_items,
    clearable: !field.required && !field.dispatches,
    load: remote ?? (async (query) => narrowed(groups, query)),
    remote: Boolean(remote),
    minQuery: remote ? (element.min_query_length ?? DEFAULT_MIN_QUERY) : 0,
    onChange: change,
  }).element;
}
