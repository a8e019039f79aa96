// What graphql-http does not audit: methods, media types, persisted documents, bearers, cookies of other sites, ids.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { madang } from './support/madang.mjs';

const endpoint = `${madang.url}/graphql`;
const post = (body, headers = {}) =>
  fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' || body instanceof FormData ? body : JSON.stringify(body),
  });
const get = (params, headers = {}) =>
  fetch(`${endpoint}?${new URLSearchParams(params)}`, { headers });
const code = async (response) => (await response.json()).errors[0].extensions.code;
const refused = async (response, status, expected = 'BAD_REQUEST') => {
  assert.equal(response.status, status);
  assert.equal(await code(response), expected);
};

test('mutations are not run by GET', async () => {
  const response = await get({ query: 'mutation { logout { success } }' });
  assert.equal(response.headers.get('allow'), 'POST');
  await refused(response, 405);
});

test('subscriptions are not run over HTTP', async () => {
  const query = 'subscription { postAdded(boardId: "x") { id } }';
  for (const response of [await post({ query }), await get({ query })]) await refused(response, 400);
});

test('other methods are told which there are', async () => {
  const response = await fetch(endpoint, { method: 'PUT' });
  assert.match(response.headers.get('allow'), /GET.*POST/);
  await refused(response, 405);
});

test('what a form of another site could send is not read', async () => {
  const body = JSON.stringify({ query: '{ __typename }' });
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/graphql']) {
    await refused(await post(body, { 'content-type': type }), 415);
  }
  for (const type of ['application/json; charset=utf-16', 'application/jsonp']) {
    await refused(await post(body, { 'content-type': type }), 415);
  }
});

test('batches are refused', async () => {
  await refused(await post([{ query: '{ __typename }' }]), 400);
});

test('a client that takes nothing that we have is told so', async () => {
  await refused(await post({ query: '{ __typename }' }, { accept: 'text/html' }), 406);
});

test('the media type follows the preferences of the client', async () => {
  for (const [accept, expected] of [
    ['application/json;q=0.5, application/graphql-response+json', 'application/graphql-response+json'],
    ['application/json, application/graphql-response+json;q=0.5', 'application/json'],
    ['application/graphql-response+json, application/json', 'application/graphql-response+json'],
    ['*/*', 'application/json'],
  ]) {
    const response = await post({ query: '{ __typename }' }, { accept });
    assert.equal(response.headers.get('content-type'), `${expected}; charset=utf-8`, accept);
    assert.equal(response.headers.get('cache-control'), 'no-store');
  }
});

test('a document that does not fit has 400, unless the client asks for application/json by name', async () => {
  for (const [query, expected] of [
    ['{', 'GRAPHQL_PARSE_FAILED'],
    ['{ nope }', 'GRAPHQL_VALIDATION_FAILED'],
  ]) {
    await refused(await post({ query }, { accept: '*/*' }), 400, expected);
    await refused(await post({ query }, { accept: 'application/json' }), 200, expected);
  }
});

test('a document is sent once and named by its hash after that', async () => {
  const query = `{ __typename } # ${Math.random()}`;
  const sha256Hash = createHash('sha256').update(query).digest('hex');
  const extensions = { persistedQuery: { version: 1, sha256Hash } };
  const named = () => [
    post({ extensions }),
    get({ extensions: JSON.stringify(extensions) }),
    post({ extensions }, { accept: 'application/graphql-response+json' }),
  ];

  for (const unknown of await Promise.all(named())) {
    assert.equal(unknown.status, 200);
    const { errors, data } = await unknown.json();
    assert.equal(errors[0].message, 'PersistedQueryNotFound');
    assert.equal(errors[0].extensions.code, 'PERSISTED_QUERY_NOT_FOUND');
    assert.equal(data, undefined);
  }
  assert.equal((await post({ query, extensions })).status, 200);
  for (const known of await Promise.all(named())) {
    assert.deepEqual(await known.json(), { data: { __typename: 'Query' } });
  }
});

test('a document is not kept under a hash of another, nor one that is not valid', async () => {
  const other = { persistedQuery: { version: 1, sha256Hash: '0'.repeat(64) } };
  await refused(await post({ query: '{ __typename }', extensions: other }), 400);

  const query = '{ nope }';
  const sha256Hash = createHash('sha256').update(query).digest('hex');
  const extensions = { persistedQuery: { version: 1, sha256Hash } };
  await refused(await post({ query, extensions }), 400, 'GRAPHQL_VALIDATION_FAILED');
  await refused(await post({ extensions }), 200, 'PERSISTED_QUERY_NOT_FOUND');
});

test('a bad bearer fails the request, except where nobody needs to be signed in', async () => {
  for (const authorization of ['Bearer nonsense', 'Bearer', 'Basic YTpi', 'nonsense']) {
    const response = await post({ query: '{ __typename }' }, { authorization });
    assert.match(response.headers.get('www-authenticate'), /^Bearer .*invalid_token/);
    await refused(response, 401, 'TOKEN_INVALID');

    const indifferent = await post({ query: 'mutation { __typename a: logout { success } }' }, { authorization });
    assert.equal(indifferent.status, 200);
    assert.deepEqual(await indifferent.json(), { data: { __typename: 'Mutation', a: { success: true } } });
  }
});

test('a refresh cookie counts only from sites that may use it', async () => {
  const query = 'mutation { logout { success } }';
  const cookie = 'madang_refresh=nonsense';
  const own = await post({ query }, { cookie, origin: new URL(madang.url).origin });
  assert.match(own.headers.get('set-cookie'), /^madang_refresh=;/);
  for (const origin of ['https://evil.example', 'null']) {
    const foreign = await post({ query }, { cookie, origin });
    assert.equal(foreign.headers.get('set-cookie'), null);
    assert.equal(foreign.headers.get('access-control-allow-origin'), null);
  }
});

test('the id of a request is taken over when it is harmless', async () => {
  const id = async (sent) =>
    (await post({ query: '{ __typename }' }, sent && { 'x-request-id': sent })).headers.get('x-request-id');
  assert.equal(await id('abc-1.2_3'), 'abc-1.2_3');
  for (const sent of ['a b', 'x'.repeat(65), '<a>', undefined]) {
    const given = await id(sent);
    assert.match(given, /^[A-Za-z0-9._-]{1,64}$/);
    assert.notEqual(given, sent);
  }
});

test('what nobody serves is not found, in JSON', async () => {
  const response = await fetch(`${madang.url}/nothing/here`);
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  await refused(response, 404, 'NOT_FOUND');
});
