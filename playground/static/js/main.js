/**
 * Composition: makes the parts, ties them to the state, starts the session.
 */
import { Banner } from "./banner.js";
import { ChannelColumn } from "./channel.js";
import { Modal } from "./modal.js";
import { Router } from "./router.js";
import { Session } from "./session.js";
import { Sidebar } from "./sidebar.js";
import { Store, findChannel, initialState } from "./store.js";
import { ThreadPane } from "./thread.js";

const byId = (id) => document.getElementById(id);

function surfaces(session) {
  const acting = (container) => ({
    container,
    act(action) {
      return session.act(container, action, this.values.state());
    },
    suggest: (blockId, actionId, value) => session.suggest(container, blockId, actionId, value),
  });
  return {
    ofMessage: ({ channel, ts }) => acting({ type: "message", channel, ts }),
    ofView: ({ id }) => acting({ type: "view", view_id: id }),
  };
}

function wireDrawer(store) {
  const [shell, sidebar, scrim, main] = ["shell", "sidebar", "scrim", "main"].map(byId);
  const narrow = matchMedia("(max-width: 720px)");
  const close = () => store.update({ drawer: false });
  const draw = () => {
    const open = store.state.drawer && narrow.matches;
    shell.classList.toggle("has-drawer", open);
    scrim.hidden = !open;
    sidebar.inert = narrow.matches && !open;
    main.inert = open;
    if (open) sidebar.querySelector("[aria-current]")?.focus();
  };
  store.on(["drawer"], draw);
  narrow.addEventListener("change", draw);
  scrim.addEventListener("click", close);
  sidebar.addEventListener("keydown", (event) => event.key === "Escape" && close());
  draw();
}

/** "(3) #orders · Acme": what waits elsewhere, and where this window is. */
function titleOf({ workspace, sidebar, directory, channel: id }) {
  const channel = findChannel(sidebar, id);
  const waiting = [...sidebar.channels, ...sidebar.direct]
    .filter((each) => each.id !== id)
    .reduce((sum, each) => sum + each.unread, 0);
  const place = channel
    ? `${channel.kind === "public" || channel.kind === "private" ? "#" : ""}${directory.channelTitle(channel)} · `
    : "";
  return `${waiting ? `(${waiting}) ` : ""}${place}${workspace.name} playground`;
}

function start() {
  const store = new Store(initialState());
  const session = new Session(store, new Router());
  const { ofMessage, ofView } = surfaces(session);
  const vocabulary = () => ({ commands: store.state.commands, people: store.state.directory.people });
  const banner = new Banner(byId("banner"));
  const sidebar = new Sidebar(byId("sidebar"), { onSwitch: (person) => session.switchPerson(person) });
  const column = new ChannelColumn(byId("main"), {
    session,
    store,
    surfaceOf: ofMessage,
    viewSurfaceOf: ofView,
    vocabulary,
  });
  const thread = new ThreadPane(byId("thread"), { session, surfaceOf: ofMessage, vocabulary });
  const modal = new Modal({ session, surfaceOf: ofView, onClosed: () => column.composer.focus() });

  store.on(["online", "connected"], (state) => banner.show(state));
  store.on(["as", "workspace"], (state) => state.as && sidebar.showPerson(state));
  store.on(["sidebar", "channel", "connected"], (state) => state.as && sidebar.showPlaces(state));
  store.on(["sidebar", "channel", "tab", "loading"], (state) => state.directory && column.showPlace(state));
  store.on(
    ["messages", "loading", "hasMore"],
    (state) => state.directory && (column.showMessages(state), column.showIntro(state)),
  );
  store.on(["sought"], ({ sought }) => sought && column.list.reveal(sought));
  store.on(["home", "homeLoaded", "tab"], (state) => state.directory && column.showHome(state));
  store.on(["thread"], (state) => thread.show(state.thread, state.directory, state.directory?.channel(state.channel)));
  store.on(["views"], (state) => modal.show(state.views, state.directory));
  store.on(["sidebar", "channel"], (state) => (document.title = titleOf(state)));

  wireDrawer(store);
  document.querySelector(".skip-link").addEventListener("click", (event) => {
    event.preventDefault();
    column.composer.focus();
  });
  session.start();
}

start();
