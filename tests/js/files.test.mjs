// Files through real clients: apollo-upload-client, urql, gql (Python), curl, and a browser.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { deflateSync } from 'node:zlib';
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { Client, fetchExchange } from '@urql/core';
import UploadHttpLink from 'apollo-upload-client/UploadHttpLink.mjs';
import { launch, screenshots } from './support/browser.mjs';
import { madang } from './support/madang.mjs';

const run = promisify(execFile);
const endpoint = `${madang.url}/graphql`;
const CREATE = `mutation Create($input: CreatePostInput!) {
  createPost(input: $input) { post { id attachments { id name contentType size width height url thumbnailUrl } } }
}`;
const UPDATE = `mutation Update($input: UpdatePostInput!) {
  updatePost(input: $input) { post { attachments { name } } }
}`;

let folder, token, boardId;
const authorization = () => ({ authorization: `Bearer ${token}` });
const input = (files) => ({ boardId, title: 'With files', content: 'Here they are', files });
/** A file without dots and paths in its content, so that what arrives can be compared. */
const content = randomBytes(300_000);
const file = (name, bytes = content) => new File([bytes], name, { type: 'text/html' });

const absolute = (url) => new URL(url, madang.url).href;
async function downloaded(url) {
  const response = await fetch(absolute(url));
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

/** A PNG of one colour, made without a library. */
function png(width, height) {
  const table = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  const crc = (bytes) => ~bytes.reduce((sum, byte) => table[(sum ^ byte) & 255] ^ (sum >>> 8), -1) >>> 0;
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, Buffer.from([200, 80, 40]))]);
  const rows = Buffer.concat(Array.from({ length: height }, () => row));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', head), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'madang-files-'));
  ({ accessToken: token } = await madang.admin());
  boardId = await madang.newBoard();
});
after(() => rm(folder, { recursive: true }));

/** Signs in again: access tokens of this server live for seconds. */
async function signIn() {
  ({ accessToken: token } = await madang.admin());
}

test('apollo-upload-client uploads', async () => {
  await signIn();
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: new UploadHttpLink({ uri: endpoint, headers: authorization() }),
  });

  const { data } = await client.mutate({
    mutation: gql(CREATE),
    variables: { input: input([file('one.bin'), file('둘 "2".txt', 'two')]) },
  });

  const { id, attachments } = data.createPost.post;
  assert.deepEqual(attachments.map((a) => [a.name, a.size]), [['one.bin', 300_000], ['둘 _2_.txt', 3]]);
  assert.ok(content.equals(await downloaded(attachments[0].url)));
  const changed = await client.mutate({
    mutation: gql(UPDATE),
    variables: { input: { id, addFiles: [file('three.txt', 'three')], removeAttachmentIds: [attachments[0].id] } },
  });
  assert.deepEqual(changed.data.updatePost.post.attachments.map((a) => a.name), ['둘 _2_.txt', 'three.txt']);
});

test('urql uploads', async () => {
  await signIn();
  const client = new Client({
    url: endpoint,
    exchanges: [fetchExchange],
    preferGetMethod: false,
    fetchOptions: () => ({ headers: authorization() }),
  });

  const { data, error } = await client.mutation(CREATE, { input: input([file('one.bin')]) }).toPromise();

  assert.equal(error, undefined);
  const [attachment] = data.createPost.post.attachments;
  assert.equal(attachment.contentType, 'application/octet-stream');
  assert.ok(content.equals(await downloaded(attachment.url)));
  const empty = await client.mutation(CREATE, { input: input([file('none', '')]) }).toPromise();
  const [violation] = empty.error.graphQLErrors[0].extensions.violations;
  assert.deepEqual([violation.field, violation.code], ['files.0', 'EMPTY']);
});

test('gql for Python uploads, by both of its transports', async () => {
  const path = join(folder, '마당.bin');
  await writeFile(path, content);
  const script = join(folder, 'upload.py');
  await writeFile(script, `
import asyncio, json, sys
from gql import Client, FileVar, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.requests import RequestsHTTPTransport
url, token, board, path, create = sys.argv[1:]
headers = {"Authorization": "Bearer " + token}
def request():
    document = gql(create)
    files = [FileVar(path), FileVar(path, filename="other.bin")]
    document.variable_values = {"input": {"boardId": board, "title": "T", "content": "C", "files": files}}
    return document
with Client(transport=RequestsHTTPTransport(url=url, headers=headers)) as session:
    first = session.execute(request(), upload_files=True)
async def second():
    async with Client(transport=AIOHTTPTransport(url=url, headers=headers)) as session:
        return await session.execute(request(), upload_files=True)
print(json.dumps([first, asyncio.run(second())]))
`);
  await signIn();

  const { stdout } = await run(process.env.TEST_PYTHON, [script, endpoint, token, boardId, path, CREATE], { timeout: 50_000 });

  for (const answer of JSON.parse(stdout)) {
    const { attachments } = answer.createPost.post;
    assert.deepEqual(attachments.map((a) => a.name), ['마당.bin', 'other.bin']);
    assert.ok(content.equals(await downloaded(attachments[0].url)));
  }
});

test('curl uploads, and downloads a part', async () => {
  const path = join(folder, 'curl.bin');
  // Beyond 1 MiB curl waits to be told to go on.
  const large = randomBytes(3 << 20);
  await writeFile(path, large);
  await signIn();
  const operations = JSON.stringify({ query: CREATE, variables: { input: input([null]) } });

  const { stdout } = await run('curl', [
    '-sS', endpoint, '-H', `authorization: Bearer ${token}`,
    '-F', `operations=${operations}`, '-F', 'map={ "0": ["variables.input.files.0"] }', '-F', `0=@${path}`,
  ]);

  const [attachment] = JSON.parse(stdout).data.createPost.post.attachments;
  assert.equal(attachment.size, large.length);
  const part = join(folder, 'part');
  await run('curl', ['-sS', '-r', '1000000-1999999', '-o', part, absolute(attachment.url)]);
  const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');
  assert.equal(digest(await readFile(part)), digest(large.subarray(1_000_000, 2_000_000)));
  const resumed = join(folder, 'resumed');
  await writeFile(resumed, large.subarray(0, 2_500_000));
  await run('curl', ['-sS', '-C', '-', '-o', resumed, absolute(attachment.url)]);
  assert.ok(large.equals(await readFile(resumed)));
});

test('the README uploads with curl', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const [, command] = readme.match(/```sh\n(curl http[^`]*)```/);
  await writeFile(join(folder, 'picture.png'), png(30, 20));
  await signIn();
  const filled = command
    .replace('http://127.0.0.1:8000', madang.url)
    .replace('eyJ0…', token)
    .replace('board_01…', boardId);

  const { stdout } = await run('sh', ['-c', filled.replace(/^curl/, 'curl -sS')], { cwd: folder });

  const [{ url }] = JSON.parse(stdout).data.createPost.post.attachments;
  assert.ok(png(30, 20).equals(await downloaded(url)));
});

test('a browser shows pictures, and saves what it could run', async () => {
  await signIn();
  const form = new FormData();
  const names = ['picture.png', 'page.html', 'drawing.svg'];
  const script = '<svg xmlns="http://www.w3.org/2000/svg"><script>window.ran = true</script></svg>';
  const bytes = [png(600, 400), `<html><body>${script}</body></html>`, script];
  form.append('operations', JSON.stringify({ query: CREATE, variables: { input: input([null, null, null]) } }));
  form.append('map', JSON.stringify(Object.fromEntries(names.map((_, n) => [n, [`variables.input.files.${n}`]]))));
  names.forEach((name, n) => form.append(`${n}`, new File([bytes[n]], name, { type: 'image/png' })));
  const response = await fetch(endpoint, { method: 'POST', headers: authorization(), body: form });
  const { id, attachments } = (await response.json()).data.createPost.post;
  let thumbnail = null;
  for (let tries = 0; thumbnail === null && tries < 100; tries++) {
    await signIn();
    const query = 'query ($id: ID!) { post(id: $id) { attachments { thumbnailUrl(size: 128) } } }';
    const { post } = await madang.run(query, { id }, { token });
    thumbnail = post.attachments[0].thumbnailUrl;
    if (thumbnail === null) await new Promise((done) => setTimeout(done, 100));
  }
  const browser = await launch();
  try {
    const page = await browser.newPage();
    // Of another origin than the files, as a front-end is.
    await page.setContent(`<img id=whole src="${absolute(attachments[0].url)}"><img id=small src="${absolute(thumbnail)}">`);
    for (const [image, size] of [['whole', [600, 400]], ['small', [128, 85]]]) {
      const shown = await page.locator(`#${image}`).evaluate(async (img) => {
        await img.decode();
        return [img.naturalWidth, img.naturalHeight];
      });
      assert.deepEqual(shown, size);
    }
    await page.screenshot({ path: join(await screenshots(), 'files.png') });
    const shown = await page.goto(absolute(attachments[0].url));
    assert.equal(shown.headers()['content-type'], 'image/png');
    for (const { url, name } of attachments.slice(1)) {
      const saved = page.waitForEvent('download');
      await page.goto(absolute(url)).catch(() => {});
      assert.equal((await saved).suggestedFilename(), name);
    }
    // Embedded as pictures they show, and run nothing.
    const embedding = await browser.newPage();
    const embedded = `<img src="${absolute(attachments[2].url)}"><iframe src="${absolute(attachments[1].url)}"></iframe>`;
    await embedding.setContent(embedded, { waitUntil: 'domcontentloaded' });
    const drawn = await embedding.locator('img').evaluate((img) => img.decode().then(() => true, () => false));
    assert.ok(drawn);
    assert.equal(await embedding.evaluate(() => window.ran), undefined);
  } finally {
    await browser.close();
  }
});
