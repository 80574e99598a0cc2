/**
 * What a person does and what the server tells, turned into changes of the state. The only module that talks to both API and store.
 */
import { api, RefusedError, UnreachableError } from "./api.js";
import { Directory } from "./directory.js";
import { EventStream } from "./events.js";
import { findChannel, withMessage, withoutMessage } from "./store.js";

const RETRY_MS = 1500;
const SIDEBAR_PAUSE_MS = 60;

export class Session {
  #turn = 0;
  #arrived = [];
  #sidebarTimer = null;

  /** @param {import("./router.js").Router} router */
  constructor(store, router) {
    this.store = store;
    this.router = router;
    this.stream = new EventStream({
      onEvent: (event) => this.#receive(event),
      onUp: () => this.#resume(),
      onDown: () => store.update({ online: false }),
    });
    router.onChange((place) => this.#go(place));
  }

  get #state() {
    return this.store.state;
  }

  async start() {
    try {
      await this.#loadWorkspace();
      await this.#switchPerson(this.#startPerson());
    } catch (error) {
      this.#lost(error);
      setTimeout(() => this.start(), RETRY_MS);
    }
  }

  async #loadWorkspace() {
    const { workspace, app, people, user_groups: groups, commands } = await api.workspace();
    const directory = new Directory({ people, groups, app, self: this.#state.as, sidebar: this.#state.sidebar });
    this.store.update({ workspace, app, commands, directory, connected: app.connected, online: true });
  }

  #startPerson() {
    const wanted = this.#state.directory.person(this.router.place().as);
    return wanted.can_act ? wanted.id : this.#state.directory.people.find((person) => person.can_act).id;
  }

  switchPerson(as) {
    return this.#guard(this.#switchPerson(as));
  }

  async #switchPerson(as) {
    this.store.update({
      as,
      thread: null,
      views: [],
      home: null,
      homeLoaded: false,
      messages: [],
      loading: true,
      drawer: false,
    });
    this.stream.open(as);
    await this.#loadSidebar();
    await Promise.all([this.#openPlace(this.router.place()), this.#loadViews()]);
  }

  async #loadSidebar() {
    const { as } = this.#state;
    const sidebar = await api.sidebar(as);
    if (as !== this.#state.as) return;
    this.store.update({ sidebar, directory: this.#state.directory.seenBy(as, sidebar) });
  }

  async #loadViews() {
    const { as } = this.#state;
    const { stack } = await api.views(as);
    if (as === this.#state.as) this.store.update({ views: stack });
  }

  /** The address changed: by a link, by the back button, by hand. */
  #go(place) {
    const { as, channel, tab, thread } = this.#state;
    if (place.as && place.as !== as && this.#state.directory?.person(place.as).can_act)
      return this.switchPerson(place.as);
    const isHere =
      !place.message &&
      place.channel === channel &&
      (place.tab ?? tab) === tab &&
      place.thread === (thread?.ts ?? null);
    return isHere ? undefined : this.#guard(this.#openPlace(place));
  }

  async #openPlace({ channel: wanted, tab, thread, message }) {
    const { sidebar } = this.#state;
    const channel =
      findChannel(sidebar, wanted) ??
      sidebar.channels.find((each) => each.is_member) ??
      sidebar.channels[0] ??
      sidebar.direct[0];
    if (!channel) return;
    await this.#openChannel(channel.id, tab, channel.id === wanted ? thread : null);
    if (message && channel.id === wanted) this.store.update({ sought: message });
  }

  openChannel(id, tab) {
    return this.#guard(this.#openChannel(id, tab));
  }

  async #openChannel(id, tab = null, thread = null) {
    const channel = findChannel(this.#state.sidebar, id);
    const hasHome = channel.kind === "app" && this.#state.app.home_tab;
    const shown = hasHome ? (tab ?? (channel.unread ? "messages" : "home")) : "messages";
    const isSame = id === this.#state.channel && !this.#state.loading;
    this.store.update({
      channel: id,
      tab: shown,
      drawer: false,
      ...(isSame ? {} : { messages: [], hasMore: false, loading: true, thread: null }),
    });
    this.#remember();
    const work = [
      isSame ? null : this.#loadHistory(),
      shown === "home" && this.#loadHome(),
      thread && this.#openThread(thread),
    ];
    await Promise.all(work.filter(Boolean));
  }

  async #loadHistory() {
    const { as, channel } = this.#state;
    this.#turn += 1;
    const turn = this.#turn;
    this.#arrived = [];
    const { messages, has_more: hasMore } = await api.history(as, channel);
    if (turn !== this.#turn) return;
    // What came by the stream after the server had read the history is not in it.
    const whole = this.#arrived.reduce(withMessage, messages);
    this.store.update({ messages: whole, hasMore, loading: false });
  }

  loadEarlier() {
    return this.#guard(this.#loadEarlier());
  }

  async #loadEarlier() {
    const { as, channel, messages } = this.#state;
    const turn = this.#turn;
    const earlier = await api.history(as, channel, messages[0]?.ts);
    if (turn === this.#turn)
      this.store.update({ messages: [...earlier.messages, ...this.#state.messages], hasMore: earlier.has_more });
  }

  async #loadHome() {
    const { as } = this.#state;
    const { view } = await api.home(as);
    // The app may have published before this answer came: nothing does not replace something.
    if (as === this.#state.as) this.store.update({ home: view ?? this.#state.home, homeLoaded: true });
  }

  openThread(ts) {
    return this.#guard(this.#openThread(ts));
  }

  async #openThread(ts) {
    const { as, channel } = this.#state;
    this.store.update({ thread: { ts, messages: this.#state.messages.filter((message) => message.ts === ts) } });
    this.#remember();
    const { messages } = await api.thread(as, channel, ts);
    if (this.#state.thread?.ts === ts && this.#state.channel === channel)
      this.store.update({ thread: { ts, messages } });
  }

  closeThread() {
    this.store.update({ thread: null });
    this.#remember();
  }

  #remember() {
    const { as, channel, tab, thread } = this.#state;
    this.router.remember({
      as,
      channel,
      tab: findChannel(this.#state.sidebar, channel)?.kind === "app" ? tab : null,
      thread: thread?.ts ?? null,
    });
  }

  /** @returns {Promise<?string>} the problem to show beside the message box, or null */
  async send(text, threadTs = null) {
    const { as, channel } = this.#state;
    try {
      await api.send(as, channel, text, threadTs);
      return null;
    } catch (error) {
      return this.#lost(error);
    }
  }

  markRead() {
    const { as, channel, messages, sidebar } = this.#state;
    const newest = messages.filter((message) => !message.ephemeral).at(-1);
    if (!newest || !findChannel(sidebar, channel)?.unread) return;
    this.#guard(api.read(as, channel, newest.ts).then(() => this.#loadSidebar()));
  }

  /** @returns {Promise<{ok: boolean, message?: string}>} */
  async act(container, action, state) {
    try {
      return await api.action(this.#state.as, container, action, state);
    } catch (error) {
      return { ok: false, message: this.#lost(error) };
    }
  }

  async suggest(container, blockId, actionId, value) {
    const answer = await api.suggest(this.#state.as, container, blockId, actionId, value);
    if (answer.error) throw new RefusedError(answer.message ?? "The app did not offer any options.");
    return answer;
  }

  async submitView(viewId, state) {
    try {
      return await api.submitView(this.#state.as, viewId, state);
    } catch (error) {
      return { ok: false, message: this.#lost(error) };
    }
  }

  closeView(viewId, clear) {
    const { views } = this.#state;
    // The view goes at once; the server's event tells the same a moment later.
    this.store.update({ views: clear ? [] : views.filter((view) => view.id !== viewId) });
    this.#guard(api.closeView(this.#state.as, viewId, clear));
  }

  #receive(event) {
    const handlers = {
      message: () => this.#put(event.message),
      message_changed: () => this.#put(event.message, true),
      ephemeral: () => this.#put(event.message),
      ephemeral_replaced: () => this.#put(event.message),
      message_deleted: () => this.#drop(event),
      ephemeral_deleted: () => this.#drop(event),
      views: () => this.store.update({ views: event.stack }),
      home: () => this.store.update({ home: event.view, homeLoaded: true }),
      sidebar: () => this.#refreshSidebar(),
      app: () => this.store.update({ connected: event.connected }),
    };
    handlers[event.type]?.();
  }

  /** Puts a message where it is shown: in the channel, in the open thread, or both when it is the thread's parent. */
  #put(message, onlyKnown = false) {
    const { channel, messages, thread } = this.#state;
    this.#refreshSidebar();
    if (message.channel !== channel) return;
    const isReply = message.thread_ts && message.thread_ts !== message.ts;
    const isKnown = messages.some((known) => known.ts === message.ts);
    if (!isReply && !onlyKnown) this.#arrived.push(message);
    if (!isReply && (isKnown || !onlyKnown)) this.store.update({ messages: withMessage(messages, message) });
    if (!thread || (isReply ? message.thread_ts : message.ts) !== thread.ts) return;
    this.store.update({ thread: { ...thread, messages: withMessage(thread.messages, message) } });
  }

  #drop({ channel, ts }) {
    const { messages, thread } = this.#state;
    this.#refreshSidebar();
    if (channel !== this.#state.channel) return;
    this.store.update({
      messages: withoutMessage(messages, ts),
      thread: thread && thread.ts !== ts ? { ...thread, messages: withoutMessage(thread.messages, ts) } : null,
    });
  }

  /** Several events in one breath ask for one reload. */
  #refreshSidebar() {
    clearTimeout(this.#sidebarTimer);
    this.#sidebarTimer = setTimeout(() => this.#guard(this.#reloadSidebar()), SIDEBAR_PAUSE_MS);
  }

  /** The open channel may be gone for this person: they left it, or it was closed to them. */
  async #reloadSidebar() {
    await this.#loadSidebar();
    const { sidebar, channel } = this.#state;
    if (channel && !findChannel(sidebar, channel)) await this.#openPlace({});
  }

  /** The stream is up: after an outage, everything may have changed. */
  #resume() {
    if (this.#state.online) return;
    this.#guard(this.#reload());
  }

  async #reload() {
    await this.#loadWorkspace();
    await this.#loadSidebar();
    const { tab, thread } = this.#state;
    await Promise.all([
      this.#loadHistory(),
      this.#loadViews(),
      tab === "home" && this.#loadHome(),
      thread && this.#openThread(thread.ts),
    ]);
  }

  #guard(work) {
    return work.catch((error) => this.#lost(error));
  }

  /** Notes an outage and gives the sentence for it; an error of the page's own is not swallowed. */
  #lost(error) {
    if (error instanceof UnreachableError) this.store.update({ online: false });
    else if (!(error instanceof RefusedError)) throw error;
    return error.message;
  }
}
