// The only way elements are made here. Strings become text nodes and attributes, never markup: what remotes send can't
// be anything but text. Styles come from the style sheet alone (the page's CSP allows no others).

export type Child = Node | string | null | undefined | false;

type Listeners = { [E in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[E]) => void };

/** Attributes; `on` holds listeners. False, null and undefined leave an attribute out, true sets it empty. */
export interface Props {
  on?: Listeners;
  [attribute: string]: string | number | boolean | null | undefined | Listeners;
}

export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  const { on, ...attributes } = props;
  setAttributes(element, attributes);
  for (const [name, listener] of Object.entries(on ?? {})) {
    element.addEventListener(name, listener as EventListener);
  }
  put(element, children);
  return element;
}

export function svg(tag: string, attributes: Props = {}, ...children: Node[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

function setAttributes(element: Element, attributes: Props): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on") || name === "style") throw new Error(`${name} is not for attributes`);
    if (value === undefined || value === null || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function put(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
}

/** Replaces what is in an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  put(element, children);
}

/** Sets an element's text where it differs, so that selections and live regions stay undisturbed. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute where that changes something. */
export function setAttribute(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** The element of this id in index.html. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element as T;
}

/** A part of the page that is drawn anew only when what it shows has changed. */
export class Drawn {
  #shown: string | undefined;

  constructor(readonly element: HTMLElement) {}

  /** `key` is whatever the drawing depends on. */
  draw(key: unknown, children: () => Child[]): void {
    const text = JSON.stringify(key);
    if (text === this.#shown) return;
    this.#shown = text;
    fill(this.element, ...children());
  }
}

const ICONS = {
  copy: "M5 5V2.5h8.5V11H11M2.5 5H11v8.5H2.5z",
  done: "M3 8.5l3.5 3.5L13 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  in: "M12.5 3.5l-8 8M4.5 5.5v6h6",
  out: "M3.5 12.5l8-8M5.5 4.5h6v6",
  first: "M4 3.5v9M12 3.5L7.5 8l4.5 4.5",
  previous: "M10 3.5L5.5 8l4.5 4.5",
  next: "M6 3.5L10.5 8L6 12.5",
  last: "M12 3.5v9M4 3.5L8.5 8L4 12.5",
  warning: "M8 2l6.5 11.5h-13zM8 6.5v3.2M8 11.6v.2",
} as const;

export function icon(name: keyof typeof ICONS): SVGElement {
  const path = svg("path", { d: ICONS[name] });
  return svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, path);
}

let statusRegion: HTMLElement | undefined;

/** Tells users of screen readers what happened. */
export function announce(text: string): void {
  statusRegion ??= byId("announcements");
  statusRegion.textContent = text;
}

/** A button that copies a text. */
export function copyButton(text: string, what: string): HTMLButtonElement {
  const button = el("button", { type: "button", class: "quiet icon-only", title: `Copy ${what}`, "aria-label": `Copy ${what}` }, icon("copy"));
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    try {
      await navigator.clipboard.writeText(text);
      button.replaceChildren(icon("done"));
      announce(`Copied ${what}`);
    } catch {
      announce(`The browser doesn't let this page copy. ${what}: ${text}`);
    }
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  });
  return button;
}
