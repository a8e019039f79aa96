// Bundles a page into the folder that the server embeds: one script, one style sheet, and the licenses of what is in
// them, compressed once here and not at each request.
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';

/** What the packages in the bundle ask to be told with it. */
async function licenses(here, inputs) {
  const packages = new Set();
  for (const input of inputs) {
    const match = input.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//);
    if (match) packages.add(match[1]);
  }
  const texts = [];
  for (const folder of [...packages].sort()) {
    const { name, version, license } = JSON.parse(await readFile(here(`${folder}/package.json`)));
    const file = (await readdir(here(folder))).find((f) => /^licen[cs]e/i.test(f));
    const text = file ? await readFile(here(`${folder}/${file}`), 'utf8') : '';
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/**
 * Bundles the page of the folder `url` with its own esbuild, from `entry`, into src/server/pages/`page`.
 */
export async function bundle({ build, url, page, entry, options = {} }) {
  const here = (path) => fileURLToPath(new URL(path, url));
  const target = here(`../../src/server/pages/${page}/`);
  const { outputFiles, metafile } = await build({
    absWorkingDir: here('.'),
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    legalComments: 'none',
    metafile: true,
    write: false,
    outdir: 'dist',
    ...options,
  });
  await mkdir(target, { recursive: true });
  const files = outputFiles.map(({ path, contents }) => [path.split('/').at(-1), contents]);
  files.push(['licenses.txt', Buffer.from(await licenses(here, Object.keys(metafile.inputs)))]);
  files.push(['index.html', await readFile(here('index.html'))]);
  for (const [name, contents] of files) {
    const compressed = await promisify(gzip)(contents, { level: constants.Z_BEST_COMPRESSION });
    await writeFile(`${target}${name}.gz`, compressed);
    console.log(`${name}: ${contents.length} bytes, ${compressed.length} compressed`);
  }
}
