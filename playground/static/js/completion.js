/**
 * What the composer offers while a slash command is typed. Pure: the workspace's commands and the text in, suggestions out.
 */

/** "create-service NAME --team T | status [SERVICE] | …" -> [{verb, usage}] */
export function parseUsageHint(hint) {
  const inner = (hint ?? "").trim().replace(/^\[(.*\|.*)\]$/s, "$1");
  return inner
    .split("|")
    .map((part) => part.trim().match(/^([a-z][\w-]*)\s*(.*)$/i))
    .filter(Boolean)
    .map(([, verb, usage]) => ({ verb, usage }));
}

/**
 * @typedef {{insert: string, label: string, detail: string}} Suggestion
 * @returns {{suggestions: Suggestion[], preselect: boolean}} `preselect`: Enter may take the first one, for part of it is typed already
 */
export function complete(text, commands) {
  if (!text.startsWith("/") || text.includes("\n")) return none();
  const [command, ...rest] = text.split(" ");
  if (rest.length === 0) return completeCommand(command, commands);
  if (rest.length > 1) return none();
  const known = commands.find((each) => each.command === command);
  const begun = rest[0].toLowerCase();
  const fitting = parseUsageHint(known?.usage_hint).filter(({ verb }) => verb.startsWith(begun));
  if (fitting.some(({ verb }) => verb === begun)) return none();
  return {
    suggestions: fitting.map(({ verb, usage }) => ({ insert: `${command} ${verb} `, label: verb, detail: usage })),
    preselect: begun !== "",
  };
}

function completeCommand(begun, commands) {
  const fitting = commands.filter(({ command }) => command.startsWith(begun));
  const suggestions = fitting.map(({ command, description, usage_hint: hint }) => ({
    insert: `${command} `,
    label: command,
    detail: [description, hint].filter(Boolean).join(" — "),
  }));
  return { suggestions, preselect: begun.length > 1 && !fitting.some(({ command }) => command === begun) };
}

/** People whose name or handle begins with what follows an @ before the caret. */
export function completeMention(text, caret, people) {
  const found = text.slice(0, caret).match(/(^|\s)@([\p{L}\p{N}._-]*)$/u);
  if (!found) return none();
  const begun = found[2].toLowerCase();
  const fits = ({ name, real_name: full }) =>
    [name, ...full.split(" ")].some((word) => word.toLowerCase().startsWith(begun));
  const start = caret - begun.length - 1;
  const fitting = people.filter((person) => person.can_act && fits(person)).slice(0, 8);
  return {
    suggestions: fitting.map((person) => ({
      insert: `${text.slice(0, start)}@${person.name} ${text.slice(caret).trimStart()}`,
      label: person.real_name,
      detail: [`@${person.name}`, person.title].filter(Boolean).join(" · "),
    })),
    preselect: begun !== "",
  };
}

function none() {
  return { suggestions: [], preselect: false };
}
