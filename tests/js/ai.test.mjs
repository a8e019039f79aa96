// AI models through graphql-ws and curl: a training and an answer, followed from the first state to the last.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { madang } from './support/madang.mjs';
import { within } from './support/socket.mjs';

const run = promisify(execFile);

let admin, user, folder;

before(async () => {
  [admin, user] = await Promise.all([madang.admin(), madang.newUser()]);
  folder = await mkdtemp(join(tmpdir(), 'madang-ai-'));
});

after(() => rm(folder, { recursive: true }));

const clientOf = (token) =>
  createClient({
    url: madang.socketUrl,
    webSocketImpl: WebSocket,
    connectionParams: { token },
    retryAttempts: 0,
  });

/** Everything that a subscription brings until it completes, or its errors. */
async function all(token, query, id) {
  const client = clientOf(token);
  const found = [];
  const reading = async () => {
    for await (const { data, errors } of client.iterate({ query, variables: { id } })) {
      found.push(errors ? errors[0].extensions.code : Object.values(data)[0]);
    }
  };
  await within(reading(), 'the end', 30_000);
  await client.dispose();
  return found;
}

const call = async (token, name, input, fields) => {
  const type = `${name[0].toUpperCase()}${name.slice(1)}Input!`;
  const data = await madang.run(
    `mutation ($input: ${type}) { ${name}(input: $input) { ${fields} } }`,
    { input },
    { token },
  );
  return data[name];
};

test('a model is followed until it is trained, and a question until it is answered', async () => {
  const input = { name: madang.fresh('Sums'), description: 'Finds the formula.' };
  const { aiModel } = await call(admin.accessToken, 'createAiModel', input, 'aiModel { id state }');
  assert.equal(aiModel.state, 'QUEUED');

  const states = await all(
    user.accessToken,
    'subscription ($id: ID!) { aiModelUpdated(id: $id) { state progress metrics { r2 } job { id } } }',
    aiModel.id,
  );

  const last = states.at(-1);
  assert.equal(last.state, 'SUCCEEDED');
  assert.ok(Math.abs(last.metrics.r2 - 1) < 1e-9);
  assert.ok(states.every((model) => model.job === null));
  const question = { modelId: aiModel.id, description: 'How much?', rows: [Array(8).fill(1)] };
  const { aiLog } = await call(user.accessToken, 'createAiLog', question, 'aiLog { id }');
  const follow =
    'subscription ($id: ID!) { aiLogUpdated(id: $id) { state isFinished result { ... on AiPredictions { predictions } } } }';
  const answers = await all(user.accessToken, follow, aiLog.id);
  const answer = answers.at(-1);
  assert.deepEqual([answer.state, answer.isFinished], ['SUCCEEDED', true]);
  assert.ok(Math.abs(answer.result.predictions[0] - 34.15) < 1e-6);
  // Another user may not, and learns nothing.
  const other = await madang.newUser();
  assert.deepEqual(await all(other.accessToken, follow, aiLog.id), ['NOT_FOUND']);
  assert.deepEqual(await all(other.accessToken, follow, 'ailog_01h455vb4pex5vsknk084sn02q'), ['NOT_FOUND']);
});

test('the README trains on a table of one’s own with curl', async () => {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const command = [...readme.matchAll(/```sh\n(curl http[^`]*)```/g)].map(([, text]) => text).at(-1);
  const rows = Array.from({ length: 50 }, (_, n) => `${20 + (n % 40)},${n % 7},${(20 + (n % 40)) * 12 + (n % 7) * 5}`);
  await writeFile(join(folder, 'rents.csv'), ['size;floor;rent', ...rows].join('\r\n').replaceAll(',', ';'));
  const filled = command
    .replace('http://127.0.0.1:8000', madang.url)
    .replace('eyJ0…', admin.accessToken)
    .replace('"Rents"', `"${madang.fresh('Rents')}"`);

  const { stdout } = await run('sh', ['-c', filled.replace(/^curl/, 'curl -sS')], { cwd: folder });

  const { id } = JSON.parse(stdout).data.createAiModel.aiModel;
  const states = await all(
    admin.accessToken,
    'subscription ($id: ID!) { aiModelUpdated(id: $id) { state error features metrics { coefficients intercept } } }',
    id,
  );
  const { state, error, features, metrics } = states.at(-1);
  assert.deepEqual([state, error, features], ['SUCCEEDED', null, ['size', 'floor']]);
  assert.ok(Math.abs(metrics.coefficients[0] - 12) < 1e-9 && Math.abs(metrics.coefficients[1] - 5) < 1e-9);
});
