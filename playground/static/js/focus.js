/**
 * Keeps the keyboard where it was while the page is redrawn under it.
 */

/**
 * Runs `change`; when it replaced the focused control, the focus goes to its twin (the same action or link), else to the part of the
 * page (an element matching `partSelector`) that held it.
 */
export function keepFocus(root, change, partSelector = null) {
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  const part = partSelector && partKey(focused?.closest(partSelector));
  const action = focused?.dataset.action;
  const address = focused?.getAttribute("href");
  const selection = focused && "selectionStart" in focused ? [focused.selectionStart, focused.selectionEnd] : null;
  change();
  if (!focused || focused.isConnected) return;
  const scope = part ? root.querySelector(part) : root;
  const twin = action ? find(scope, "data-action", action) : address && find(scope, "href", address);
  const target = twin ?? (part ? scope : null);
  if (!target) return;
  if (!twin) target.tabIndex = -1;
  target.focus({ preventScroll: true });
  if (twin && selection?.[0] !== undefined && selection?.[0] !== null) twin.setSelectionRange(...selection);
}

function partKey(part) {
  return part ? `[data-ts="${CSS.escape(part.dataset.ts)}"]` : null;
}

function find(scope, attribute, value) {
  return scope?.querySelector(`[${attribute}="${CSS.escape(value)}"]`) ?? null;
}
