// GraphQL over HTTP: every audit of graphql-http passes, and none warns. Against MADANG_URL.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serverAudits } from 'graphql-http';
import { madang } from './support/madang.mjs';

const audits = serverAudits({ url: `${madang.url}/graphql`, fetchFn: fetch });

test('there are as many audits as we know of', () => {
  assert.ok(audits.length >= 61, `only ${audits.length}`);
});

for (const audit of audits) {
  test(`${audit.id} ${audit.name}`, async () => {
    const result = await audit.fn();
    assert.equal(result.status, 'ok', result.reason);
  });
}
