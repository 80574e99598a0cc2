/**
 * A panel in the browser's top layer, held beside its anchor: no scrolling parent or dialog can cut it off.
 */
const GAP_PX = 4;
const EDGE_PX = 8;

export class Floating {
  /** @param {"width"|"start"|"end"} align take the anchor's width, or keep to its start or end */
  constructor(anchor, panel, align = "width") {
    this.anchor = anchor;
    this.panel = panel;
    this.align = align;
    panel.popover = "manual";
    panel.classList.add("floating");
  }

  get isOpen() {
    return this.panel.matches(":popover-open");
  }

  open() {
    if (this.isOpen) return this.place();
    this.panel.showPopover();
    this.place();
    // One scope for all listeners of this opening: closing removes them together.
    this.opening = new AbortController();
    const { signal } = this.opening;
    const follow = (event) => (event.target instanceof Node && this.panel.contains(event.target) ? null : this.place());
    document.addEventListener("scroll", follow, { capture: true, signal });
    window.addEventListener("resize", follow, { signal });
  }

  close() {
    this.opening?.abort();
    if (this.isOpen) this.panel.hidePopover();
  }

  /** Calls `dismiss` when the person presses outside anchor and panel while it is open. */
  onPressOutside(dismiss) {
    const outside = ({ target }) => !this.panel.contains(target) && !this.anchor.contains(target);
    document.addEventListener("pointerdown", (event) => outside(event) && dismiss(), { signal: this.opening.signal });
  }

  place() {
    if (!this.anchor.isConnected) return this.close();
    const anchor = this.anchor.getBoundingClientRect();
    const style = this.panel.style;
    if (this.align === "width") style.setProperty("width", `${anchor.width}px`);
    style.setProperty("--room", `${Math.max(anchor.top, innerHeight - anchor.bottom) - GAP_PX - EDGE_PX}px`);
    const { width, height } = this.panel.getBoundingClientRect();
    const below = innerHeight - anchor.bottom - GAP_PX >= height + EDGE_PX;
    const wanted = this.align === "end" ? anchor.right - width : anchor.left;
    const left = Math.max(EDGE_PX, Math.min(wanted, innerWidth - width - EDGE_PX));
    const top = below ? anchor.bottom + GAP_PX : Math.max(EDGE_PX, anchor.top - GAP_PX - height);
    style.setProperty("left", `${left}px`);
    style.setProperty("top", `${top}px`);
  }
}
