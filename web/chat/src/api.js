// The server: requests with an access token that is renewed in time, and one socket for all subscriptions.
import { createClient } from 'graphql-ws';
import { language, words } from './words.js';

/** Errors of a request: the first one's code, and what to show. */
export class Refusal extends Error {
  constructor(errors) {
    const { violations } = errors[0].extensions ?? {};
    super(violations?.map((violation) => violation.message).join(' ') || errors[0].message);
    this.code = errors[0].extensions?.code;
  }
}

let token = null;

async function post(query, variables, withToken) {
  const response = await fetch('/graphql', {
    method: 'POST',
    credentials: 'same-origin',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
      'accept-language': language,
      ...(withToken && token && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Refusal(errors);
  return data;
}

/** Runs an operation. An expired token is renewed once. */
export async function run(query, variables = {}) {
  try {
    return await post(query, variables, true);
  } catch (error) {
    if (!['TOKEN_EXPIRED', 'TOKEN_INVALID'].includes(error.code)) throw error;
    await refresh();
    return post(query, variables, true);
  }
}

/** Calls a mutation with an input. */
export async function call(name, input, fields) {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input!`;
  const data = await run(`mutation ($input: ${type}) { ${name}(input: $input) { ${fields} } }`, { input });
  return data[name];
}

let refreshing = null;

/** Renews the access token by the cookie, once for all who ask at the same time. */
export function refresh() {
  refreshing ??= post('mutation { refreshAccessToken { accessToken } }', {}, false)
    .then((data) => {
      token = data.refreshAccessToken.accessToken;
    })
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

export async function signIn(nameOrEmail, password) {
  const data = await post(
    'mutation ($input: LoginInput!) { login(input: $input) { accessToken } }',
    { input: { nameOrEmail, password } },
    false,
  );
  token = data.login.accessToken;
}

export async function signUp(name, email, password) {
  await post(
    'mutation ($input: SignUpInput!) { signUp(input: $input) { user { id } } }',
    { input: { name, email, password } },
    false,
  );
  await signIn(name, password);
}

export async function signOut() {
  await run('mutation { logout { success } }').catch(() => {});
  token = null;
}

/** Opens the socket when something is subscribed to. `onState` is told whether it works. */
export function connect(onState) {
  return createClient({
    url: `${location.protocol === 'https:' ? 'wss:' : 'ws:'}//${location.host}/graphql`,
    // It lives as long as the sign-in session: an access token would end it after minutes.
    connectionParams: async () => {
      const { issueSubscriptionToken } = await run('mutation { issueSubscriptionToken { token } }');
      return { token: issueSubscriptionToken.token, acceptLanguage: language };
    },
    keepAlive: 12_000,
    retryAttempts: Number.MAX_SAFE_INTEGER,
    shouldRetry: () => true,
    retryWait: (retries) => new Promise((resolve) => {
      setTimeout(resolve, Math.min(300 * 1.6 ** retries, 5_000) * (0.75 + Math.random() / 2));
    }),
    on: {
      connected: () => onState(true),
      closed: (event) => onState(false, event?.code),
      error: () => onState(false),
    },
  });
}

/** What to show for an error. */
export const sayable = (error) => (error instanceof Refusal ? error.message : words.oops);
