// Live chat, as the client of graphql-ws sees it: what the schema answers, the end of the right, and coming back.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { madang } from './support/madang.mjs';
import { Raw, pause, within } from './support/socket.mjs';

const EVENTS = `subscription ($session: ID!, $after: String, $presence: Boolean! = false) {
  chatEvents(chatSessionId: $session, after: $after, presence: $presence) {
    __typename cursor
    ... on ChatAdded { chat { ...Line } }
    ... on ChatUpdated { chat { ...Line } }
    ... on ChatDeleted { chat { ...Line } }
    ... on ChatReady { onlineCount chatSession { name viewerCanSend participants(first: 5) { nodes { name } } } }
    ... on ChatSessionUpdated { chatSession { name isClosed viewerCanSend } }
    ... on ParticipantsChanged { joined { name } left { name } participantCount }
    ... on PresenceChanged { cameOnline { name } wentOffline { name } onlineCount }
    ... on ChatTyping { user { name } }
  }
}
fragment Line on Chat { seq content isDeleted author { name } viewerCanEdit }`;

// Nothing of this depends on who follows, so that it is executed once for all.
const SHARED = `subscription ($session: ID!, $after: String) {
  chatEvents(chatSessionId: $session, after: $after) {
    __typename cursor
    ... on ChatAdded { chat { id seq content author { name } } }
    ... on ChatUpdated { chat { id content } }
    ... on ChatDeleted { chat { id isDeleted } }
    ... on ChatReady { chatSession { name lastSeq } }
    ... on ChatTyping { user { name } }
  }
}`;

let ann, ben;

before(async () => {
  [ann, ben] = await Promise.all([madang.newUser(), madang.newUser()]);
});

const tokenOf = async (user) => (await madang.login(user.name, user.password)).accessToken;

/** Calls the mutation `name` as this user. */
async function call(user, name, input, fields) {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input!`;
  const data = await madang.run(
    `mutation ($input: ${type}) { ${name}(input: $input) { ${fields} } }`,
    { input },
    { token: await tokenOf(user) },
  );
  return data[name];
}

const say = async (user, session, content) =>
  (await call(user, 'sendChat', { chatSessionId: session, content }, 'chat { id }')).chat.id;

/** A visible session of Ann's, in which Ben takes part. */
async function newSession() {
  const input = { name: 'Yard', information: 'For everybody' };
  const { chatSession } = await call(ann, 'createChatSession', input, 'chatSession { id }');
  await call(ben, 'joinChatSession', { id: chatSession.id }, 'chatSession { id }');
  return chatSession.id;
}

const clientOf = (user) =>
  createClient({
    url: madang.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: async () => ({ token: await tokenOf(user) }),
    retryAttempts: 0,
  });

/** Follows a session; `next` answers the payload's event, or throws its errors. */
function follow(client, session, variables = {}, query = EVENTS) {
  const events = client.iterate({ query, variables: { session, ...variables } });
  const next = async () => {
    const { value, done } = await within(events.next(), 'an event');
    if (done) return 'the end';
    if (value.errors) throw Object.assign(new Error(value.errors[0].message), value.errors[0]);
    return value.data.chatEvents;
  };
  return { next, end: () => events.return() };
}

describe('a chat session', () => {
  test('is followed live, with each kind of event', async () => {
    const session = await newSession();
    const client = clientOf(ben);
    const events = follow(client, session, { presence: true });
    const ready = await events.next();
    assert.equal(ready.__typename, 'ChatReady');
    assert.deepEqual(ready.chatSession, {
      name: 'Yard',
      viewerCanSend: true,
      participants: { nodes: [{ name: ann.name }, { name: ben.name }] },
    });
    assert.equal(ready.onlineCount, 1);

    const chat = await say(ann, session, '안녕 <b>all</b>');
    const added = await events.next();
    assert.deepEqual(added.chat, {
      seq: 1,
      content: '안녕 <b>all</b>',
      isDeleted: false,
      author: { name: ann.name },
      viewerCanEdit: false,
    });
    await call(ann, 'updateChat', { id: chat, content: 'edited' }, 'chat { id }');
    const updated = await events.next();
    assert.deepEqual([updated.__typename, updated.chat.content], ['ChatUpdated', 'edited']);
    await call(ann, 'deleteChat', { id: chat }, 'chat { id }');
    const deleted = await events.next();
    assert.deepEqual([deleted.__typename, deleted.chat.content], ['ChatDeleted', '']);
    await call(ann, 'setTyping', { chatSessionId: session }, 'success');
    const typing = await events.next();
    assert.deepEqual(typing, { __typename: 'ChatTyping', cursor: deleted.cursor, user: { name: ann.name } });
    const other = clientOf(ann);
    const ofAnn = follow(other, session);
    await ofAnn.next();
    const presence = await events.next();
    assert.deepEqual(
      [presence.__typename, presence.cameOnline, presence.onlineCount],
      ['PresenceChanged', [{ name: ann.name }], 2],
    );
    await call(ann, 'updateChatSession', { id: session, isClosed: true }, 'chatSession { id }');
    const closed = await events.next();
    assert.deepEqual(closed.chatSession, { name: 'Yard', isClosed: true, viewerCanSend: false });
    await Promise.all([client.dispose(), other.dispose()]);
  });

  test('is followed from where a page of it ends, and from where a subscription ended', async () => {
    const session = await newSession();
    await say(ann, session, 'one');
    const { chatSession } = await madang.run(
      'query ($id: ID!) { chatSession(id: $id) { chats(last: 50) { nodes { content } eventCursor } } }',
      { id: session },
      { token: await tokenOf(ben) },
    );
    assert.deepEqual(chatSession.chats.nodes, [{ content: 'one' }]);
    await say(ann, session, 'two');

    const client = clientOf(ben);
    const first = follow(client, session, { after: chatSession.chats.eventCursor });
    const two = await first.next();
    assert.equal(two.chat.content, 'two');
    assert.equal((await first.next()).__typename, 'ChatReady');
    await first.end();
    await say(ann, session, 'three');
    const second = follow(client, session, { after: two.cursor });
    assert.equal((await second.next()).chat.content, 'three');
    assert.equal((await second.next()).__typename, 'ChatReady');
    await client.dispose();
  });

  test('cannot be followed from a cursor that is none, or is of another session', async () => {
    const [session, other] = [await newSession(), await newSession()];
    await say(ann, other, 'one');
    const client = clientOf(ben);
    const foreign = (await follow(client, other).next()).cursor;
    for (const after of ['', 'nonsense', foreign, `${foreign}x`]) {
      const events = follow(client, session, { after });
      await assert.rejects(events.next(), (error) => error.extensions.code === 'RESYNC_REQUIRED');
      assert.equal(await events.next(), 'the end');
    }
    await client.dispose();
  });

  test('ends for who is removed, and the socket stays', async () => {
    const session = await newSession();
    const client = clientOf(ben);
    const events = follow(client, session);
    await events.next();
    const began = Date.now();
    await call(ann, 'removeChatParticipants', { id: session, userIds: [ben.user.id] }, 'chatSession { id }');
    await assert.rejects(events.next(), (error) => error.extensions.code === 'FORBIDDEN');
    assert.ok(Date.now() - began < 5_000);
    assert.equal(await events.next(), 'the end');
    const again = client.iterate({ query: '{ viewer { name } }' });
    assert.equal((await within(again.next(), 'an answer')).value.data.viewer.name, ben.name);
    await client.dispose();
  });

  test('ends with the log-out of its follower, with 4401', async () => {
    const session = await newSession();
    const token = await tokenOf(ben);
    const raw = await Raw.ready({ token });
    raw.subscribe('1', EVENTS, { session });
    assert.equal((await raw.next()).payload.data.chatEvents.__typename, 'ChatReady');
    await madang.run('mutation { logout { success } }', {}, { token });
    assert.equal((await raw.ended()).code, 4401);
  });

  test('tells the same to all who select the same, from wherever they begin', async () => {
    const session = await newSession();
    for (let n = 1; n <= 3; n++) await say(ann, session, `before ${n}`);
    const [one, two] = [clientOf(ann), clientOf(ben)];
    const followers = [
      follow(one, session, { after: null }, SHARED),
      follow(two, session, {}, SHARED),
      follow(two, session, {}, EVENTS),
    ];
    const ready = await Promise.all(followers.map(({ next }) => next()));
    assert.deepEqual(ready.map((event) => event.__typename), Array(3).fill('ChatReady'));
    assert.deepEqual(ready[0].chatSession, { name: 'Yard', lastSeq: 3 });
    const late = follow(two, session, { after: ready[0].cursor }, SHARED);
    assert.deepEqual(await late.next(), ready[0]);

    const chat = await say(ann, session, 'live "quoted" 마당');
    await call(ann, 'setTyping', { chatSessionId: session }, 'success');
    await call(ann, 'updateChat', { id: chat, content: 'edited' }, 'chat { id }');
    await call(ann, 'deleteChat', { id: chat }, 'chat { id }');

    const seen = async ({ next }, count) => {
      const events = [];
      while (events.length < count) events.push(await next());
      return events;
    };
    const ofBen = await seen(followers[1], 4);
    assert.deepEqual(ofBen[0].chat, { id: chat, seq: 4, content: 'live "quoted" 마당', author: { name: ann.name } });
    assert.deepEqual(
      ofBen.map((event) => event.__typename),
      ['ChatAdded', 'ChatTyping', 'ChatUpdated', 'ChatDeleted'],
    );
    assert.deepEqual(await seen(late, 4), ofBen);
    // One's own typing is left out.
    assert.deepEqual(await seen(followers[0], 3), ofBen.filter(({ __typename }) => __typename !== 'ChatTyping'));
    const whole = await seen(followers[2], 4);
    assert.deepEqual(whole.map((event) => event.cursor), ofBen.map((event) => event.cursor));
    const again = follow(one, session, { after: ready[0].cursor }, SHARED);
    assert.deepEqual([(await again.next()).__typename, (await again.next()).__typename], ['ChatDeleted', 'ChatReady']);

    await call(ann, 'removeChatParticipants', { id: session, userIds: [ben.user.id] }, 'chatSession { id }');
    for (const follower of [followers[1], late, followers[2]]) {
      await assert.rejects(follower.next(), (error) => {
        return error.extensions.code === 'FORBIDDEN' && error.path[0] === 'chatEvents';
      });
    }
    await Promise.all([one.dispose(), two.dispose()]);
  });

  test('is not for who does not take part, nor for who is anonymous', async () => {
    const session = await newSession();
    const stranger = await madang.newUser();
    const client = clientOf(stranger);
    await assert.rejects(follow(client, session).next(), (error) => error.extensions.code === 'FORBIDDEN');
    await client.dispose();
    const raw = await Raw.ready();
    raw.subscribe('1', EVENTS, { session });
    assert.equal((await raw.next()).payload.errors[0].extensions.code, 'UNAUTHENTICATED');
    raw.end();
  });
});

test('badges say which session has something new', async () => {
  const client = clientOf(ben);
  const badges = client.iterate({
    query: 'subscription { chatSessionChanged { id unreadCount lastChat { content } viewerIsParticipant } }',
  });
  const first = badges.next();
  await pause(300);
  const session = await newSession();
  await say(ann, session, 'hello');
  let { value } = await within(first, 'a badge');
  const isExpected = ({ id, unreadCount }) => id === session && unreadCount === 1;
  while (!isExpected(value.data.chatSessionChanged)) {
    ({ value } = await within(badges.next(), 'a badge'));
  }
  assert.deepEqual(value.data.chatSessionChanged, {
    id: session,
    unreadCount: 1,
    lastChat: { content: 'hello' },
    viewerIsParticipant: true,
  });
  await client.dispose();
});
