// GraphiQL in a browser: it asks this server for everything, runs a query, shows the docs, follows a subscription with the
// token of its headers editor.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, screenshots } from './support/browser.mjs';
import { madang } from './support/madang.mjs';

let shots, browser, page;
const strangers = [];
const complaints = [];

before(async () => {
  shots = await screenshots();
  browser = await launch();
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  await context.route('**/*', (route) => {
    const { hostname, protocol } = new URL(route.request().url());
    const isOurs = ['127.0.0.1', 'localhost', '[::1]'].includes(hostname);
    if (isOurs || protocol === 'data:' || protocol === 'blob:') return route.continue();
    strangers.push(route.request().url());
    return route.abort();
  });
  page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`${madang.url}/graphiql`);
  await page.waitForSelector('.graphiql-query-editor .CodeMirror');
});

after(async () => {
  await browser?.close();
});

const shoot = (name) => page.screenshot({ path: join(shots, `${name}.png`) });
/** Fills an editor: 0 is the query, 1 the variables, 2 the headers. */
const write = (editor, text) =>
  page.evaluate(
    ([editor, text]) => {
      const found = document.querySelectorAll('.graphiql-editor > .CodeMirror')[editor];
      found.CodeMirror.setValue(text);
    },
    [editor, text],
  );
const answer = () =>
  page.evaluate(() => document.querySelector('.result-window .CodeMirror').CodeMirror.getValue());
const answers = (pattern) =>
  page.waitForFunction(
    (source) => {
      const editor = document.querySelector('.result-window .CodeMirror');
      return new RegExp(source).test(editor?.CodeMirror.getValue() ?? '');
    },
    pattern.source,
    { timeout: 10_000 },
  );

test('the starter query runs', async () => {
  await page.click('button[aria-label^="Execute query"]');
  await answers(/"viewer"/);
  assert.match(await answer(), /"data"/);
  await shoot('query');
});

test('the docs of the schema open', async () => {
  await page.click('button[aria-label="Show Documentation Explorer"]');
  await page.click('.graphiql-doc-explorer a:has-text("Query")');
  await page.waitForSelector('.graphiql-doc-explorer :text("boards")');
  await shoot('docs');
});

test('a subscription follows with the token of the headers editor', async () => {
  const board = await madang.newBoard();
  const { accessToken } = await madang.newUser();
  await write(2, JSON.stringify({ Authorization: `Bearer ${accessToken}` }));
  await write(0, `subscription { postAdded(boardId: "${board}") { title author { name } } }`);
  // GraphiQL takes over what was written after a moment.
  await page.waitForTimeout(500);
  await page.click('button[aria-label^="Execute query"]');
  await page.waitForSelector('button[aria-label^="Stop query"]');
  await page.waitForTimeout(700);
  const title = await madang.newPost(board, accessToken);
  await answers(new RegExp(title));
  await shoot('subscription');
  await page.click('button[aria-label^="Stop query"]');
});

test('nothing was asked of another host, and the page did not complain', () => {
  assert.deepEqual(strangers, []);
  assert.deepEqual(complaints, []);
});
