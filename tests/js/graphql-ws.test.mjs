// graphql-transport-ws, whole: with the client of graphql-ws where a proper client will do, and raw where one has to
// misbehave. Start the server with RATE_LIMITS=off. Tests of expiry run when ACCESS_TOKEN_TTL is at most 15s.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { madang } from './support/madang.mjs';
import { Raw, pause, within } from './support/socket.mjs';

const POST_ADDED = 'subscription ($board: ID!) { postAdded(boardId: $board) { title } }';

let board, poster, user;

before(async () => {
  board = await madang.newBoard();
  poster = await madang.newUser();
  user = await madang.newUser();
});

const token = async () => (await madang.login(user.name, user.password)).accessToken;
const post = async (title) =>
  madang.newPost(board, (await madang.login(poster.name, poster.password)).accessToken, title);
const closes = async (raw, code, reason) => {
  const ended = await raw.ended();
  assert.equal(ended.code, code, ended.reason);
  assert.ok(Buffer.byteLength(ended.reason) <= 123);
  if (reason) assert.match(ended.reason, reason);
};

describe('the upgrade', () => {
  for (const protocols of [[], 'graphql-ws', ['json', 'imaginary']]) {
    test(`with the subprotocols ${JSON.stringify(protocols)} ends with 4406`, async () => {
      await closes(await Raw.open({ protocols }), 4406, /Subprotocol/);
    });
  }

  test('takes ours among others', async () => {
    const raw = await Raw.ready(undefined, { protocols: ['json', 'graphql-transport-ws'] });
    assert.equal(raw.ws.protocol, 'graphql-transport-ws');
    raw.end();
  });

  test('is refused to pages of other sites', async () => {
    for (const origin of ['https://evil.example', 'null']) {
      await assert.rejects(Raw.open({ headers: { origin } }), (error) => error.status === 403);
    }
  });

  test('is open to pages of its own host', async () => {
    const raw = await Raw.ready(undefined, { headers: { origin: new URL(madang.url).origin } });
    raw.end();
  });
});

describe('connection_init', () => {
  test('without a token is for who is anonymous', async () => {
    const raw = await Raw.ready();
    raw.subscribe('1', '{ viewer { name } }');
    assert.deepEqual(await raw.next(), {
      type: 'next',
      id: '1',
      payload: { data: { viewer: null } },
    });
    assert.deepEqual(await raw.next(), { type: 'complete', id: '1' });
    raw.end();
  });

  test('takes the token under each of its names', async () => {
    const access = await token();
    for (const payload of [
      { token: access },
      { authorization: `Bearer ${access}` },
      { Authorization: `Bearer ${access}` },
    ]) {
      const raw = await Raw.ready(payload);
      raw.subscribe('1', '{ viewer { name } }');
      assert.equal((await raw.next()).payload.data.viewer.name, user.name);
      raw.end();
    }
  });

  test('takes a subscription token once', async () => {
    const { issueSubscriptionToken } = await madang.run(
      'mutation { issueSubscriptionToken { token } }',
      {},
      { token: await token() },
    );
    const raw = await Raw.ready(issueSubscriptionToken);
    raw.end();

    const again = await Raw.open();
    again.send({ type: 'connection_init', payload: issueSubscriptionToken });
    await closes(again, 4403);
  });

  for (const payload of [
    { token: '' },
    { token: 'nonsense' },
    { token: 7 },
    { authorization: '' },
    { Authorization: 'Basic YTpi' },
  ]) {
    test(`with ${JSON.stringify(payload)} ends with 4403`, async () => {
      const raw = await Raw.open();
      raw.send({ type: 'connection_init', payload });
      await closes(raw, 4403, /Forbidden/);
    });
  }

  test('that does not come ends with 4408', async () => {
    const began = Date.now();
    await closes(await Raw.open(), 4408, /timeout/);
    assert.ok(Date.now() - began > 500);
  });

  test('a second time ends with 4429', async () => {
    const raw = await Raw.ready();
    raw.send({ type: 'connection_init' });
    await closes(raw, 4429);
  });

  test('a second time before the acknowledgement ends with 4429', async () => {
    const raw = await Raw.open();
    raw.send({ type: 'connection_init' }).send({ type: 'connection_init' });
    await closes(raw, 4429);
  });

  test('brings the language of messages', async () => {
    const raw = await Raw.ready({ acceptLanguage: 'ko-KR,en;q=0.5' });
    raw.subscribe('1', POST_ADDED, { board });
    const [message, ...rest] = [await raw.next(), ...(await raw.rest())];
    const [error] = message.type === 'error' ? message.payload : message.payload.errors;
    assert.equal(error.extensions.code, 'UNAUTHENTICATED');
    assert.match(error.message, /로그인/);
    assert.ok(rest.length <= 1);
    raw.end();
  });

  test('past the sockets that a user may have ends with 1013', async () => {
    const crowd = await madang.newUser();
    const sockets = [];
    for (let n = 0; n < 20; n++) sockets.push(await Raw.ready({ token: crowd.accessToken }));

    const next = await Raw.open();
    next.send({ type: 'connection_init', payload: { token: crowd.accessToken } });
    await closes(next, 1013);

    sockets.pop().end();
    await pause(300);
    sockets.push(await Raw.ready({ token: crowd.accessToken }));
    for (const socket of sockets) socket.end();
  });
});

describe('what is not of the protocol', () => {
  for (const message of [
    '{',
    'null',
    '[]',
    '{}',
    { type: 'nonsense' },
    { type: 'connection_ack' },
    { type: 'next', id: '1', payload: {} },
    { type: 'error', id: '1', payload: [] },
    { type: 'complete' },
    { type: 'subscribe', payload: { query: '{ __typename }' } },
    { type: 'subscribe', id: '', payload: { query: '{ __typename }' } },
    { type: 'subscribe', id: '1' },
    { type: 'subscribe', id: '1', payload: {} },
    { type: 'subscribe', id: '1', payload: { query: 1 } },
    { type: 'subscribe', id: '1', payload: { query: '{ a }', variables: 'x' } },
    { type: 'ping', payload: 'x' },
    { type: 'x'.repeat(1_000) },
  ]) {
    test(`${JSON.stringify(message).slice(0, 80)} ends with 4400`, async () => {
      const raw = await Raw.ready();
      raw.send(message);
      await closes(raw, 4400, /./);
    });
  }

  test('a binary frame ends with 4400', async () => {
    const raw = await Raw.ready();
    raw.ws.send(Buffer.from('{"type":"ping"}'));
    await closes(raw, 4400);
  });

  test('a frame that is too long ends with 1009', async () => {
    for (const size of [64 * 1024 + 1, 3 << 20]) {
      const raw = await Raw.ready();
      raw.send(JSON.stringify({ type: 'ping', payload: { x: 'x'.repeat(size) } }));
      await closes(raw, 1009);
    }
  });

  test('a frame of just the limit is taken', async () => {
    const raw = await Raw.ready();
    const empty = JSON.stringify({ type: 'ping', payload: { x: '' } }).length;
    raw.send(JSON.stringify({ type: 'ping', payload: { x: 'x'.repeat(64 * 1024 - empty) } }));
    assert.equal((await raw.next()).type, 'pong');
    raw.end();
  });

  test('an operation before the acknowledgement ends with 4401', async () => {
    const raw = await Raw.open();
    raw.subscribe('1', '{ __typename }');
    await closes(raw, 4401, /Unauthorized/);
  });

  test('the id of an operation that runs ends with 4409', async () => {
    const raw = await Raw.ready({ token: await token() });
    raw.subscribe('마당', POST_ADDED, { board }).subscribe('마당', POST_ADDED, { board });
    await closes(raw, 4409, /^Subscriber for 마당 already exists$/);
  });

  test('a long id is cut short in the reason', async () => {
    const raw = await Raw.ready({ token: await token() });
    const id = '마당'.repeat(100);
    raw.subscribe(id, POST_ADDED, { board }).subscribe(id, POST_ADDED, { board });
    await closes(raw, 4409, /^Subscriber for 마당/);
  });
});

describe('operations', () => {
  const errorOf = async (query, variables, code) => {
    const raw = await Raw.ready();
    raw.subscribe('1', query, variables);
    const message = await raw.next();
    assert.equal(message.type, 'error', JSON.stringify(message));
    assert.equal(message.id, '1');
    assert.ok(Array.isArray(message.payload));
    assert.equal(message.payload[0].extensions.code, code);
    assert.deepEqual(await raw.rest(), [], 'nothing comes after an error');
    raw.subscribe('1', '{ __typename }');
    assert.equal((await raw.next()).type, 'next', 'the id is free again');
    raw.end();
  };

  test('that do not parse are an error', () => errorOf('{', {}, 'GRAPHQL_PARSE_FAILED'));
  test('that do not validate are an error', () =>
    errorOf('{ nope }', {}, 'GRAPHQL_VALIDATION_FAILED'));
  test('whose variables do not fit are an error', () => errorOf(POST_ADDED, {}, 'BAD_REQUEST'));

  test('past the limit are an error each, and the others go on', async () => {
    const raw = await Raw.ready({ token: await token() });
    for (let n = 0; n < 50; n++) raw.subscribe(`s${n}`, POST_ADDED, { board });
    raw.subscribe('one more', POST_ADDED, { board });
    const refused = await raw.next();
    assert.deepEqual([refused.type, refused.id], ['error', 'one more']);
    assert.equal(refused.payload[0].extensions.code, 'LIMIT_EXCEEDED');

    raw.send({ type: 'complete', id: 's0' });
    raw.subscribe('one more', '{ __typename }');
    assert.equal((await raw.next()).type, 'next');
    raw.end();
  });

  test('mutations run too', async () => {
    const raw = await Raw.ready({ token: await token() });
    raw.subscribe(
      '1',
      'mutation ($input: CreatePostInput!) { createPost(input: $input) { post { title } } }',
      { input: { boardId: board, title: 'over a socket', content: 'c' } },
    );
    assert.equal((await raw.next()).payload.data.createPost.post.title, 'over a socket');
    assert.deepEqual(await raw.next(), { type: 'complete', id: '1' });
    raw.end();
  });

  test('a subscription brings events until the client completes it, and nothing after', async () => {
    const raw = await Raw.ready({ token: await token() });
    raw.subscribe('1', POST_ADDED, { board });
    await pause(200);
    const first = await post();
    assert.deepEqual(await raw.next(), {
      type: 'next',
      id: '1',
      payload: { data: { postAdded: { title: first } } },
    });

    raw.send({ type: 'complete', id: '1' });
    await pause(200);
    await post();
    assert.deepEqual(await raw.rest(), []);

    raw.subscribe('1', POST_ADDED, { board });
    await pause(200);
    const third = await post();
    assert.equal((await raw.next()).payload.data.postAdded.title, third);
    raw.end();
  });

  test('to complete what does not run is no fault', async () => {
    const raw = await Raw.ready();
    raw.send({ type: 'complete', id: 'unknown' }).send({ type: 'ping' });
    assert.deepEqual(await raw.next(), { type: 'pong' });
    raw.end();
  });

  test('run for the client of graphql-ws', async () => {
    const client = createClient({
      url: madang.socketUrl,
      webSocketImpl: WebSocket,
      connectionParams: async () => ({ token: await token() }),
      retryAttempts: 0,
    });
    const query = client.iterate({ query: '{ viewer { name } }' });
    assert.equal((await within(query.next(), 'an answer')).value.data.viewer.name, user.name);

    const events = client.iterate({ query: POST_ADDED, variables: { board } });
    const event = events.next();
    await pause(300);
    const title = await post();
    assert.equal((await within(event, 'an event')).value.data.postAdded.title, title);
    await events.return();

    const invalid = client.iterate({ query: '{ nope }' });
    await assert.rejects(within(invalid.next(), 'an error'), (errors) => {
      return errors[0].extensions.code === 'GRAPHQL_VALIDATION_FAILED';
    });
    await client.dispose();
  });
});

describe('ping and pong', () => {
  test('a ping is answered, before and after the acknowledgement', async () => {
    const raw = await Raw.open();
    raw.send({ type: 'ping' });
    assert.deepEqual(await raw.next(), { type: 'pong' });
    raw.send({ type: 'connection_init' });
    assert.deepEqual(await raw.next(), { type: 'connection_ack' });
    raw.send({ type: 'ping', payload: { n: 1 } });
    assert.deepEqual(await raw.next(), { type: 'pong', payload: { n: 1 } });
    raw.send({ type: 'pong' });
    assert.deepEqual(await raw.rest(100), []);
    raw.end();
  });

  test('a ping of the WebSocket protocol is answered', async () => {
    const raw = await Raw.ready();
    const pong = new Promise((resolve) => raw.ws.on('pong', resolve));
    raw.ws.ping();
    await within(pong, 'a pong');
    raw.end();
  });

  test('brings a newer token of the same sign-in session', async () => {
    const access = await token();
    const raw = await Raw.ready({ token: access });
    raw.send({ type: 'ping', payload: { token: access } });
    assert.deepEqual(await raw.next(), { type: 'pong' });
    raw.end();
  });

  test('with the token of another session ends with 4403', async () => {
    const raw = await Raw.ready({ token: await token() });
    raw.send({ type: 'ping', payload: { token: await token() } });
    await closes(raw, 4403);
  });

  for (const bad of ['', 'nonsense', 7]) {
    test(`with the token ${JSON.stringify(bad)} ends with 4403`, async () => {
      const raw = await Raw.ready({ token: await token() });
      raw.send({ type: 'ping', payload: { token: bad } });
      await closes(raw, 4403);
    });
  }

  test('with a token on an anonymous socket ends with 4403', async () => {
    const raw = await Raw.ready();
    raw.send({ type: 'ping', payload: { token: await token() } });
    await closes(raw, 4403);
  });
});

describe('the right of a socket', () => {
  test('ends with the log-out of its session, at once and with 4401', async () => {
    const access = await token();
    const [raw, other] = [await Raw.ready({ token: access }), await Raw.ready({ token: await token() })];
    raw.subscribe('1', POST_ADDED, { board });
    await pause(100);

    const began = Date.now();
    await madang.run('mutation { logout { success } }', {}, { token: access });
    await closes(raw, 4401);
    assert.ok(Date.now() - began < 1_500);

    other.send({ type: 'ping' });
    assert.deepEqual(await other.next(), { type: 'pong' });
    other.end();
  });

  test('ends with a ban, with 4401', async () => {
    const banned = await madang.newUser();
    const raw = await Raw.ready({ token: banned.accessToken });
    const admin = await madang.admin();

    await madang.run(
      'mutation ($input: BanUserInput!) { banUser(input: $input) { user { id } } }',
      { input: { id: banned.user.id } },
      { token: admin.accessToken },
    );
    await closes(raw, 4401);

    // And with the token that is still good otherwise: 4403 would have clients come back.
    const again = await Raw.open();
    again.send({ type: 'connection_init', payload: { token: banned.accessToken } });
    await closes(again, 4401);
  });

  const lifetime = async () => {
    const { login } = await madang.run(
      'mutation ($input: LoginInput!) { login(input: $input) { accessToken accessTokenExpiresAt } }',
      { input: { nameOrEmail: user.name, password: user.password, delivery: 'BODY' } },
    );
    return { ...login, ms: Date.parse(login.accessTokenExpiresAt) - Date.now() };
  };

  test('that an access token gave ends with it, with 4403', async (t) => {
    const { accessToken, ms } = await lifetime();
    if (ms > 15_000) return t.skip('access tokens live for too long to wait');
    const raw = await Raw.ready({ token: accessToken });
    const ended = await raw.ended(ms + 3_000);
    assert.equal(ended.code, 4403);
  });

  test('that a subscription token gave outlives access tokens', async (t) => {
    const { accessToken, ms } = await lifetime();
    if (ms > 15_000) return t.skip('access tokens live for too long to wait');
    const { issueSubscriptionToken } = await madang.run(
      'mutation { issueSubscriptionToken { token } }',
      {},
      { token: accessToken },
    );
    const raw = await Raw.ready(issueSubscriptionToken);
    await pause(ms + 1_500);
    raw.subscribe('1', '{ viewer { name } }');
    assert.equal((await raw.next()).payload.data.viewer.name, user.name);
    raw.end();
  });
});

test('who never reads is dropped', async () => {
  const raw = await Raw.ready();
  raw.ws.on('error', () => {});
  raw.ws._socket.pause();
  const chatter = JSON.stringify({ type: 'ping', payload: { x: 'x'.repeat(60_000) } });
  for (let n = 0; n < 600; n++) raw.ws.send(chatter, () => {});
  await pause(13_000);
  raw.ws._socket.resume();
  await raw.ended(2_000);
});
