/**
 * What a person has typed and chosen on one surface, in the shape of Slack's `state.values`. It outlives a re-render: an element that
 * keeps its block_id, action_id and type keeps its value, as in Slack.
 */
const chosen = (element) => ({ selected_option: element.initial_option ?? null });
const chosenMany = (element) => ({ selected_options: element.initial_options ?? [] });
const typed = (element) => ({ value: element.initial_value ?? null });

const INITIAL = {
  plain_text_input: typed,
  number_input: typed,
  email_text_input: typed,
  url_text_input: typed,
  static_select: chosen,
  external_select: chosen,
  radio_buttons: chosen,
  multi_static_select: chosenMany,
  multi_external_select: chosenMany,
  checkboxes: chosenMany,
  users_select: (element) => ({ selected_user: element.initial_user ?? null }),
  multi_users_select: (element) => ({ selected_users: element.initial_users ?? [] }),
  conversations_select: (element) => ({ selected_conversation: element.initial_conversation ?? null }),
  multi_conversations_select: (element) => ({ selected_conversations: element.initial_conversations ?? [] }),
  channels_select: (element) => ({ selected_channel: element.initial_channel ?? null }),
  multi_channels_select: (element) => ({ selected_channels: element.initial_channels ?? [] }),
  datepicker: (element) => ({ selected_date: element.initial_date ?? null }),
  timepicker: (element) => ({ selected_time: element.initial_time ?? null }),
  datetimepicker: (element) => ({ selected_date_time: element.initial_date_time ?? null }),
};

export class FormValues {
  #entries = new Map();
  #live = [];

  /** Starts a render: what is not adopted during it is no longer part of the state. */
  begin() {
    this.#live = [];
  }

  /** Takes a stateful element in and returns its current value. */
  adopt(blockId, element) {
    const key = JSON.stringify([blockId, element.action_id]);
    const known = this.#entries.get(key);
    if (known?.type !== element.type) this.#entries.set(key, { type: element.type, ...INITIAL[element.type](element) });
    this.#live.push([blockId, element.action_id, key]);
    return this.#entries.get(key);
  }

  set(blockId, actionId, value) {
    this.#entries.set(JSON.stringify([blockId, actionId]), value);
  }

  /** `{block_id: {action_id: value}}` of the elements now shown. */
  state() {
    const state = {};
    for (const [blockId, actionId, key] of this.#live) {
      state[blockId] ??= {};
      state[blockId][actionId] = this.#entries.get(key);
    }
    return state;
  }
}

/** The one meaningful member of a value, whatever its element calls it. */
export function content(value) {
  const { type, ...members } = value;
  return Object.values(members)[0] ?? null;
}

/** A value of the same kind with another content. */
export function withContent(value, next) {
  const member = Object.keys(value).find((key) => key !== "type");
  return { ...value, [member]: next };
}

export function isEmpty(value) {
  const held = content(value);
  return held === null || held === "" || (Array.isArray(held) && held.length === 0);
}
