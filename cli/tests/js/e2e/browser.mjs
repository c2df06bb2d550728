// Chromium, watched: whatever it complains about on the console, any error of the page, and any request that leaves
// the node's own address fails the test, unless the test says beforehand that this is what it provokes.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];

/** The directory for pictures of the page. */
export const artifacts = process.env.CI_ARTIFACTS ?? process.env.E2E_ARTIFACTS ?? "target/e2e";
mkdirSync(artifacts, { recursive: true });

export async function launch() {
  // A profile directory of its own each time, which playwright makes and removes.
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, args: ARGS });
}

/** A tab that looks at one node. */
export class Tab {
  complaints = [];
  #expected = [];

  static async open(browser, url, options = {}) {
    const tab = new Tab();
    tab.context = await browser.newContext({ viewport: { width: 1440, height: 960 }, ...options });
    tab.page = await tab.context.newPage();
    tab.origin = new URL(url).origin;
    tab.#watch();
    await tab.page.goto(url);
    return tab;
  }

  #watch() {
    this.page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const text = `${message.text()} (${message.location().url})`;
      if (!this.#expected.some((pattern) => pattern.test(text))) this.complaints.push(text);
    });
    this.page.on("pageerror", (error) => this.complaints.push(`page error: ${error.stack ?? error}`));
    this.page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${this.origin}/`) && !url.startsWith("data:")) this.complaints.push(`request to ${url}`);
      if (url.includes("token=")) this.complaints.push(`a token in the address ${url}`);
    });
    this.page.on("dialog", (dialog) => this.complaints.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  }

  /** From here on, this isn't a complaint: the browser itself logs each answer that isn't 2xx. */
  expect(pattern) {
    this.#expected.push(pattern);
  }

  row(id) {
    return this.page.locator(`#rows tr[data-id="${id}"]`);
  }

  /** The row of a peer, once it is so. */
  async rowIs(id, connected, timeout = 20_000) {
    await this.page.locator(`#rows tr[data-id="${id}"][data-connected="${connected}"]`).waitFor({ timeout });
  }

  /** Returns an element's text, once it has it. */
  async says(selector, pattern, timeout = 20_000) {
    await this.page.waitForFunction(
      ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
      [selector, pattern.source],
      { timeout },
    );
  }

  async picture(name, options = {}) {
    await this.page.screenshot({ path: join(artifacts, `${name}.png`), animations: "disabled", ...options });
  }

  async close() {
    await this.context.close();
    if (this.complaints.length > 0) throw new Error(`the browser complains:\n  ${this.complaints.join("\n  ")}`);
  }
}
