// The page in a real browser against real nodes: `make e2e`, or `cargo test -p peerkit-cli --test cli dashboard`. With
// names as arguments only those stories are told.
import { launch } from "./browser.mjs";
import { cleanUp } from "./peers.mjs";
import * as access from "./access.mjs";
import * as life from "./life.mjs";
import * as many from "./many.mjs";

const only = process.argv.slice(2);
const stories = { ...life, ...many, ...access };
let told = 0;
let failed = 0;

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => {
    cleanUp();
    process.exit(1);
  });
}

const browser = await launch();
for (const [name, story] of Object.entries(stories)) {
  if (only.length > 0 && !only.includes(name)) continue;
  told++;
  const began = performance.now();
  try {
    await story(browser);
    console.log(`ok    ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAILS ${name}: ${error.stack ?? error}`);
    // Shows more than any message says.
    for (const [i, context] of browser.contexts().entries()) {
      for (const page of context.pages()) {
        const { artifacts } = await import("./browser.mjs");
        await page.screenshot({ path: `${artifacts}/failed-${name}-${i}.png`, fullPage: true }).catch(() => {});
      }
    }
  } finally {
    for (const context of browser.contexts()) await context.close();
    cleanUp();
  }
}
await browser.close();
if (told === 0) console.log(`no story is called ${only.join(" or ")}: there are ${Object.keys(stories).join(", ")}`);
process.exit(told > 0 && failed === 0 ? 0 : 1);
