// Builds the page into a directory (cli/assets without an argument): one script, one style sheet, and what needs no
// building. Readable on purpose: what is served can be reviewed as it is, and it's small.
import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "../assets"));

await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.ts" },
  outdir: out,
  bundle: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: "// Built from cli/dashboard by `make dashboard`: change it there.\n\"use strict\";" },
  logLevel: "warning",
});
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/css/app.css" },
  outdir: out,
  bundle: true,
  charset: "utf8",
  banner: { css: "/* Built from cli/dashboard by `make dashboard`: change it there. */" },
  logLevel: "warning",
});
for (const file of ["index.html", "icon.svg"]) {
  await copyFile(join(here, "src", file), join(out, file));
}
