/**
 * How moments read: clock times, days, and Slack's date tokens. Pure; the reader's zone is the browser's.
 */
const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const CLOCK = format({ hour: "2-digit", minute: "2-digit" });
const CLOCK_SECONDS = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const LONG = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const MEDIUM = format({ day: "numeric", month: "long", year: "numeric" });
const SHORT = format({ day: "numeric", month: "short", year: "numeric" });
const NUMERIC = format({ day: "2-digit", month: "2-digit", year: "numeric" });

const DAY_MS = 86_400_000;

export function toDate(ts) {
  return new Date(Number(ts) * 1000);
}

export function clock(ts) {
  return CLOCK.format(toDate(ts));
}

/** The full moment, for tooltips. */
export function moment(ts) {
  const date = toDate(ts);
  return `${LONG.format(date)}, ${CLOCK_SECONDS.format(date)}`;
}

export function sameDay(one, other) {
  return toDate(one).toDateString() === toDate(other).toDateString();
}

export function dayLabel(ts, now = new Date()) {
  return nearDay(toDate(ts), now) ?? LONG.format(toDate(ts));
}

/** "today at 14:02" */
export function dayAndClock(ts, now = new Date()) {
  const day = nearDay(toDate(ts), now)?.toLowerCase() ?? SHORT.format(toDate(ts));
  return `${day} at ${clock(ts)}`;
}

function nearDay(date, now) {
  for (const [offset, label] of [
    [0, "Today"],
    [-1, "Yesterday"],
    [1, "Tomorrow"],
  ]) {
    if (date.toDateString() === new Date(now.getTime() + offset * DAY_MS).toDateString()) return label;
  }
  return null;
}

function ago(date, now = new Date()) {
  const seconds = Math.round((date - now) / 1000);
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  for (const [unit, size] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return relative.format(seconds, "second");
}

const TOKENS = {
  date_num: (date) => NUMERIC.format(date),
  date: (date) => MEDIUM.format(date),
  date_short: (date) => SHORT.format(date),
  date_long: (date) => LONG.format(date),
  date_pretty: (date, now) => nearDay(date, now)?.toLowerCase() ?? MEDIUM.format(date),
  date_short_pretty: (date, now) => nearDay(date, now)?.toLowerCase() ?? SHORT.format(date),
  date_long_pretty: (date, now) => nearDay(date, now)?.toLowerCase() ?? LONG.format(date),
  time: (date) => CLOCK.format(date),
  time_secs: (date) => CLOCK_SECONDS.format(date),
  ago: (date, now) => ago(date, now),
};

/** Slack's `<!date^…>`: fills the tokens of `pattern`; the fallback when the moment or a token is not understood. */
export function slackDate(unixSeconds, pattern, fallback, now = new Date()) {
  const date = toDate(unixSeconds);
  if (Number.isNaN(date.getTime())) return fallback;
  const unknown = [...pattern.matchAll(/\{(\w+)\}/g)].some(([, token]) => !(token in TOKENS));
  if (unknown) return fallback;
  return pattern.replace(/\{(\w+)\}/g, (_, token) => TOKENS[token](date, now));
}
