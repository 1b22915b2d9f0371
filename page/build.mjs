// Bundle the page and its libraries into one index.html, whose policy admits exactly this script and this style.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const OUT = "../datagen/inspect/browse/index.html";
const BUNDLED = ["zarrita", "@zarrita/storage", "fzstd"];

const read = (name) => readFileSync(name, "utf8");
const digest = (text) => createHash("sha256").update(text).digest("base64");

// tests/datagen/test_browse_page.py computes the same, and so notices sources that were changed without a build.
const sources = ["build.mjs", "index.html", "package-lock.json", "package.json", "style.css", "tsconfig.json", ...readdirSync("src").map((name) => `src/${name}`)].sort();
const hash = createHash("sha256");
for (const name of sources) hash.update(`${name}\0`).update(read(name)).update("\0");

// zarrita's registry names codecs that datasets of this format do not have; their WebAssembly is left out.
const withoutCodecs = {
  name: "without-codecs",
  setup: (b) => {
    b.onResolve({ filter: /^numcodecs\// }, ({ path }) => ({ path, namespace: "left-out" }));
    b.onLoad({ filter: /.*/, namespace: "left-out" }, () => ({ contents: "export default null;" }));
  },
};
const options = { bundle: true, minify: true, format: "iife", target: "es2022", charset: "utf8", platform: "browser", write: false };
const { outputFiles } = await build({ entryPoints: ["src/main.ts"], ...options, plugins: [withoutCodecs] });
const script = outputFiles[0].text.trim().replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const style = (await build({ entryPoints: ["style.css"], minify: true, charset: "utf8", write: false })).outputFiles[0].text.trim();
const licences = BUNDLED.map((name) => {
  const { version } = JSON.parse(read(`node_modules/${name}/package.json`));
  return `${name} ${version}\n${read(`node_modules/${name}/LICENSE`).trim()}`;
}).join("\n\n");
const policy = [
  "default-src 'none'", `script-src 'sha256-${digest(script)}'`, `style-src 'sha256-${digest(style)}'`, "connect-src 'self'",
  "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
].join("; ");

writeFileSync(OUT, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<meta name="sources" content="sha256-${hash.digest("hex")}">
<title>Dataset</title>
<style>${style}</style>
<!-- Page of pxrd-datagen (BSD-3-Clause), built by "make page". It contains these libraries:

${licences.replaceAll("--", "- -")}
-->
</head>
<body>
${read("index.html").trim()}
<script>${script}</script>
</body>
</html>
`);
