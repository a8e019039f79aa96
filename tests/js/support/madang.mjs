// The server under test, by the environment:
//   MADANG_URL             where it listens, as in http://127.0.0.1:8000
//   MADANG_ADMIN_NAME      an admin
//   MADANG_ADMIN_PASSWORD  and the password
//   MADANG_SECRETS         a file for the secrets that the tests use, which must not turn up in the server's log
import { appendFileSync } from 'node:fs';

const url = (process.env.MADANG_URL ?? 'http://127.0.0.1:8000').replace(/\/$/, '');

const SECRET = /^(password|currentPassword|newPassword|accessToken|refreshToken|token)$/;
/** Notes the secrets among the values of `json`, by their names. */
function noteSecrets(json) {
  if (!process.env.MADANG_SECRETS || json === null || typeof json !== 'object') return;
  for (const [name, value] of Object.entries(json)) {
    if (typeof value !== 'string') noteSecrets(value);
    else if (SECRET.test(name)) appendFileSync(process.env.MADANG_SECRETS, `${value}\n`);
  }
}

/** Sends one operation; answers status, headers and the parsed body. */
async function send(query, variables, { token, headers } = {}) {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: JSON.stringify({ query, variables }),
  });
  const body = await response.json();
  noteSecrets(variables);
  noteSecrets(body);
  return { status: response.status, headers: response.headers, body };
}

/** As `send`, and fails on any error. */
async function run(query, variables, options) {
  const { body } = await send(query, variables, options);
  if (body.errors) throw new Error(JSON.stringify(body.errors));
  return body.data;
}

let count = 0;
/** A name that nobody has. */
const fresh = (stem) => `${stem}${Date.now().toString(36)}${process.pid}${count++}`;

/** A new sign-in session: { accessToken, user: { id, name } }. */
async function login(nameOrEmail, password) {
  const { login } = await run(
    'mutation ($input: LoginInput!) { login(input: $input) { accessToken user { id name } } }',
    { input: { nameOrEmail, password, delivery: 'BODY' } },
  );
  return login;
}

/** A user of one's own, signed in: { name, password, accessToken, user }. */
async function newUser() {
  const name = fresh('socket');
  const password = `${fresh('a long phrase ')} indeed`;
  await run('mutation ($input: SignUpInput!) { signUp(input: $input) { user { id } } }', {
    input: { name, email: `${name}@example.org`, password },
  });
  return { name, password, ...(await login(name, password)) };
}

async function admin() {
  const { MADANG_ADMIN_NAME, MADANG_ADMIN_PASSWORD } = process.env;
  return login(MADANG_ADMIN_NAME ?? 'admin', MADANG_ADMIN_PASSWORD ?? 'correct horse battery');
}

async function newBoard() {
  const { accessToken } = await admin();
  const { createBoard } = await run(
    'mutation ($input: CreateBoardInput!) { createBoard(input: $input) { board { id } } }',
    { input: { name: fresh('board'), information: 'for the tests of sockets' } },
    { token: accessToken },
  );
  return createBoard.board.id;
}

async function newPost(boardId, token, title = fresh('post')) {
  await run(
    'mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id } } }',
    { input: { boardId, title, content: 'content' } },
    { token },
  );
  return title;
}

export const madang = {
  url,
  socketUrl: `${url.replace(/^http/, 'ws')}/graphql`,
  send,
  run,
  login,
  newUser,
  admin,
  newBoard,
  newPost,
  fresh,
};
