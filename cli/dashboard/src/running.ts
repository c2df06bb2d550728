// Things that take a while: a line that says what is being done and for how long, what became of it, and buttons
// that can't be pressed meanwhile, or at all, with the reason.

import { access, asFailure, type Failure } from "./api";
import { el, fill, announce, setAttribute, setText, type Child } from "./dom";
import { ms, sentence, visible } from "./format";
import { fail, trouble } from "./state";

/** The place for an action's progress and outcome. */
export class Outcome {
  readonly element = el("div", { class: "outcome" });
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Runs an action; gives its result, or undefined where it failed and that has been shown. */
  async run<T>(what: string, action: (signal: AbortSignal) => Promise<T>, shownFailure?: (failure: Failure) => Child[]): Promise<T | undefined> {
    const controller = new AbortController();
    const began = performance.now();
    const passed = el("span", { class: "number" }, "0.0 s");
    const giveUp = el("button", { type: "button", class: "small", on: { click: () => controller.abort() } }, "Give up");
    fill(this.element, el("p", { class: "running" }, el("span", { class: "spinner", "aria-hidden": "true" }), `${what} … `, passed, giveUp));
    announce(`${what} …`);
    clearInterval(this.#timer);
    this.#timer = setInterval(() => setText(passed, `${((performance.now() - began) / 1000).toFixed(1)} s`), 100);
    try {
      const result = await action(controller.signal);
      this.clear();
      return result;
    } catch (error) {
      const failed = asFailure(error);
      fail(failed);
      this.clear();
      this.failed(failed, shownFailure?.(failed) ?? [], performance.now() - began);
      return undefined;
    } finally {
      clearInterval(this.#timer);
    }
  }

  clear(): void {
    clearInterval(this.#timer);
    fill(this.element);
  }

  done(text: string, ...more: Child[]): void {
    fill(this.element, el("div", { class: "message good" }, el("p", {}, visible(text)), ...more));
    announce(visible(text));
  }

  failed(failure: Failure, more: Child[] = [], after?: number): void {
    fill(this.element, failureBox(failure, more, after));
    announce(`Failed: ${visible(failure.message)}`);
  }
}

export function failureBox(failure: Failure, more: Child[] = [], after?: number): HTMLElement {
  return el(
    "div",
    { class: "message bad" },
    el(
      "p",
      {},
      el("strong", { class: "code-name" }, visible(failure.code, 64)),
      " ",
      visible(failure.message),
      after !== undefined && el("span", { class: "after" }, ` after ${ms(after)}`),
    ),
    // A hint that only points at what stands below is for readers of JSON.
    failure.hint !== null && !failure.hint.startsWith("detail.") && el("p", { class: "hint" }, sentence(failure.hint)),
    ...more,
  );
}

/** Buttons and fields that act: together they're off while one of them runs, or while acting isn't possible. */
export class Controls {
  #busy = false;

  constructor(
    readonly elements: (HTMLButtonElement | HTMLInputElement)[],
    /** The reason why one of them makes no sense right now. */
    readonly because: (element: HTMLElement) => string | null = () => null,
  ) {
    for (const element of elements) {
      element.dataset["title"] = element.title;
      // Buttons that are off stay where Tab finds them, so that their reason can be read; they only do nothing.
      element.addEventListener("click", (event) => {
        if (element.getAttribute("aria-disabled") !== "true") return;
        event.preventDefault();
        event.stopImmediatePropagation();
        announce(element.title);
      }, { capture: true });
    }
    access.watch(() => this.update());
    trouble.watch(() => this.update());
  }

  update(): void {
    for (const element of this.elements) {
      const down = trouble.value?.nodeDown ? "The node isn't running" : null;
      const reason = access.value.reason ?? down ?? (this.#busy ? "Wait for what is being done" : null) ?? this.because(element);
      setAttribute(element, "aria-disabled", reason === null ? null : "true");
      if (element instanceof HTMLInputElement) element.readOnly = access.value.reason !== null;
      element.title = reason ?? element.dataset["title"] ?? "";
    }
  }

  get allowed(): boolean {
    return access.value.reason === null && !this.#busy;
  }

  async during<T>(action: () => Promise<T>): Promise<T | undefined> {
    if (this.#busy) return undefined;
    this.#busy = true;
    this.update();
    try {
      return await action();
    } finally {
      this.#busy = false;
      this.update();
    }
  }
}
