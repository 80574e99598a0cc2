/**
 * The address `?as=PERSON#CHANNEL[/home|/messages|/THREAD]`: two windows may act as two persons, and a reload returns to the same place.
 * The permalink of a message arrives as `#channel=CHANNEL&message=pTS`.
 */
export class Router {
  onChange(listener) {
    for (const event of ["popstate", "hashchange"]) addEventListener(event, () => listener(this.place()));
  }

  place() {
    const named = new URLSearchParams(location.hash.slice(1));
    if (named.has("channel"))
      return {
        ...this.#person(),
        channel: named.get("channel"),
        tab: "messages",
        thread: null,
        message: messageTs(named.get("message")),
      };
    const [channel, detail = null] = decodeURIComponent(location.hash.slice(1)).split("/");
    const isTab = detail === "home" || detail === "messages";
    return {
      ...this.#person(),
      channel: channel || null,
      tab: isTab ? detail : null,
      thread: isTab ? null : detail,
      message: null,
    };
  }

  #person() {
    return { as: new URLSearchParams(location.search).get("as") };
  }

  /** Writes the address of a place; another person or channel is a step that the back button undoes, a thread is not. */
  remember({ as, channel, tab, thread }) {
    const before = this.place();
    const detail = thread ?? tab;
    const address = `?as=${encodeURIComponent(as)}#${channel}${detail ? `/${detail}` : ""}`;
    if (location.search + location.hash === address) return;
    const isStep = before.as && before.channel && (before.as !== as || before.channel !== channel);
    if (isStep) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
  }
}

/** "p1712345678000100" -> "1712345678.000100" */
function messageTs(reference) {
  const digits = /^p(\d{7,})$/.exec(reference ?? "")?.[1];
  return digits ? `${digits.slice(0, -6)}.${digits.slice(-6)}` : null;
}
