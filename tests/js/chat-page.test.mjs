// The chat page in a browser: two people in two contexts talk, see each other, edit and delete, scroll back, and lose
// nothing when the connection breaks or the server is killed.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launch, screenshots } from './support/browser.mjs';
import { madang } from './support/madang.mjs';
import { OwnServer } from './support/own-server.mjs';

const PASSWORD = 'a long phrase that nobody has';

let shots, browser, ann, ben, session;
const complaints = [];
const name = `yard ${Date.now().toString(36)}`;

const shoot = (page, file) => page.screenshot({ path: join(shots, `${file}.png`) });
const line = (page, text) => page.locator('.line', { hasText: text });

/** A person with a page of their own, signed up through it. */
async function person(who, options, url = madang.url) {
  const context = await browser.newContext({ locale: 'en-US', ...options });
  const page = await context.newPage();
  page.on('console', (message) => {
    // A broken connection is told by the browser itself.
    const isOurs = message.type() === 'error' && !/WebSocket|Failed to load resource|net::/.test(message.text());
    if (isOurs) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`${url}/chat`);
  return { page, context, name: `${who}${Date.now().toString(36)}` };
}

async function signUp({ page, name }, labels) {
  await page.getByRole('button', { name: labels.toSignUp }).click();
  await page.getByLabel(labels.name, { exact: true }).fill(name);
  await page.getByLabel(labels.email).fill(`${name}@example.org`);
  await page.getByLabel(labels.password).fill(PASSWORD);
  await page.keyboard.press('Enter');
  await page.locator('.list').waitFor();
}

const say = async (page, text) => {
  await page.locator('textarea').fill(text);
  await page.keyboard.press('Enter');
};

before(async () => {
  shots = await screenshots();
  browser = await launch();
  ann = await person('ann', { viewport: { width: 1280, height: 800 } });
  ben = await person('ben', { viewport: { width: 390, height: 844 }, locale: 'ko-KR', hasTouch: true, isMobile: true });
});

after(async () => {
  await browser?.close();
});

test('people sign up, create a chat and join it, in English and in Korean', async () => {
  await shoot(ann.page, '1-welcome');
  await signUp(ann, { toSignUp: 'No account yet? Create one', name: 'Name', email: 'E-mail', password: 'Password' });
  await signUp(ben, { toSignUp: '계정이 없으신가요? 가입하기', name: '이름', email: '이메일', password: '비밀번호' });
  await ann.page.getByRole('button', { name: 'New chat' }).click();
  await ann.page.locator('dialog').getByLabel('Name').fill(name);
  await ann.page.getByLabel('What is it for?').fill('Where the village meets');
  await shoot(ann.page, '2-new');
  await ann.page.getByRole('button', { name: 'Create', exact: true }).click();
  await ann.page.getByRole('heading', { name }).waitFor();
  session = new URL(ann.page.url()).hash.slice(1);

  await ben.page.getByRole('tab', { name: '둘러보기' }).click();
  await ben.page.getByLabel('이름으로 찾기').fill(name);
  await shoot(ben.page, '3-discover-phone');
  await ben.page.locator('.sessions li', { hasText: name }).getByRole('button', { name: '참여하기' }).click();
  await ben.page.getByRole('heading', { name }).waitFor();
  await ann.page.locator('.count', { hasText: '2 people · 2 online' }).waitFor();
});

test('they talk, see who types, edit and delete', async () => {
  await say(ann.page, 'Hello <b>Ben</b>\nhow are you?');
  await line(ben.page, 'Hello <b>Ben</b>').waitFor();
  await ben.page.locator('textarea').pressSequentially('안녕');
  await ann.page.locator('.typing', { hasText: ben.name }).waitFor();
  await say(ben.page, '안녕하세요!');
  await line(ann.page, '안녕하세요!').waitFor();
  await say(ann.page, 'first draft');
  await line(ben.page, 'first draft').waitFor();

  // By keyboard alone: the last one of one's own.
  await ann.page.locator('textarea').press('ArrowUp');
  await ann.page.locator('textarea').fill('second draft');
  await ann.page.keyboard.press('Enter');
  await line(ben.page, 'second draft').waitFor();
  assert.equal(await line(ben.page, 'first draft').count(), 0);
  await line(ann.page, 'second draft').hover();
  await line(ann.page, 'second draft').getByRole('button', { name: 'Delete' }).click();
  await line(ben.page, '삭제된 메시지입니다').waitFor();
  await shoot(ann.page, '4-talk');
  await shoot(ben.page, '5-talk-phone');
  await ann.page.locator('.count').click();
  await ann.page.locator('dialog.people li.online', { hasText: ben.name }).waitFor();
  await ann.page.keyboard.press('Escape');
});

test('nothing is lost or shown twice when the connection breaks', async () => {
  await ben.context.setOffline(true);
  // Chromium keeps open sockets when it goes offline: this one is cut by the server's side of it.
  await say(ann.page, 'while you were away');
  await ben.page.locator('textarea').fill('from underground');
  await ben.page.keyboard.press('Enter');
  await line(ben.page, 'from underground').waitFor();
  await ben.context.setOffline(false);
  await ben.page.reload();
  await line(ben.page, 'while you were away').waitFor();
  assert.equal(await line(ben.page, 'while you were away').count(), 1);
});

test('one scrolls back as far as it goes', async () => {
  let token;
  for (let n = 1; n <= 120; n++) {
    // Tokens last for seconds here.
    if (n % 30 === 1) token = (await madang.login(ann.name, PASSWORD)).accessToken;
    await madang.run(
      'mutation ($input: SendChatInput!) { sendChat(input: $input) { chat { id } } }',
      { input: { chatSessionId: session, content: `message number ${n}.` } },
      { token },
    );
  }
  await line(ann.page, 'message number 120.').waitFor();
  await ann.page.reload();
  await line(ann.page, 'message number 120.').waitFor();
  assert.equal(await line(ann.page, 'message number 5.').count(), 0);
  for (let n = 0; n < 6 && (await line(ann.page, 'Hello <b>Ben</b>').count()) === 0; n++) {
    await ann.page.locator('.scroller').evaluate((scroller) => { scroller.scrollTop = 0; });
    await ann.page.waitForTimeout(400);
  }
  await line(ann.page, 'Hello <b>Ben</b>').waitFor();
  assert.equal(await line(ann.page, 'message number 5.').count(), 1);
  await shoot(ann.page, '6-scrolled');
});

test('a badge says what is unread, and leaving takes the chat off the list', async () => {
  await ben.page.locator('.back').click();
  await ben.page.locator('.list').waitFor();
  const token = (await madang.login(ann.name, PASSWORD)).accessToken;
  await madang.run(
    'mutation ($input: SendChatInput!) { sendChat(input: $input) { chat { id } } }',
    { input: { chatSessionId: session, content: 'unread' } },
    { token },
  );
  await ben.page.locator('.session', { hasText: name }).locator('.badge').waitFor();
  await shoot(ben.page, '7-list-phone');
  await ann.page.getByRole('button', { name: 'Leave' }).click();
  await ann.page.getByText('You take part in no chat yet').waitFor();
  await ann.page.getByRole('button', { name: 'Sign out' }).click();
  await ann.page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
  assert.deepEqual(complaints, []);
});

test('a server that is killed and comes back costs no line', async () => {
  const server = await OwnServer.start();
  try {
    const cat = await person('cat', { viewport: { width: 1280, height: 800 } }, server.url);
    const dan = await person('dan', { viewport: { width: 1280, height: 800 } }, server.url);
    for (const one of [cat, dan]) {
      await signUp(one, { toSignUp: 'No account yet? Create one', name: 'Name', email: 'E-mail', password: 'Password' });
    }
    await cat.page.getByRole('button', { name: 'New chat' }).click();
    await cat.page.locator('dialog').getByLabel('Name').fill('storm');
    await cat.page.getByLabel('What is it for?').fill('For all weathers');
    await cat.page.getByRole('button', { name: 'Create', exact: true }).click();
    await cat.page.getByRole('heading', { name: 'storm' }).waitFor();
    await dan.page.getByRole('tab', { name: 'Discover' }).click();
    await dan.page.locator('.sessions li', { hasText: 'storm' }).getByRole('button', { name: 'Join' }).click();
    await say(cat.page, 'before the storm');
    await line(dan.page, 'before the storm').waitFor();

    await server.kill();
    await say(cat.page, 'in the storm');
    await shoot(cat.page, '8-storm');
    await server.start();

    await line(dan.page, 'in the storm').waitFor();
    await say(dan.page, 'after the storm');
    await line(cat.page, 'after the storm').waitFor();
    await shoot(cat.page, '9-after-the-storm');
    for (const { page } of [cat, dan]) {
      const lines = await page.locator('.line').allInnerTexts();
      const said = lines.map((text) => /(before|in|after) the storm/.exec(text)?.[0]).filter(Boolean);
      assert.deepEqual(said, ['before the storm', 'in the storm', 'after the storm']);
    }
    assert.deepEqual(complaints, []);
  } finally {
    await server.end();
  }
});
