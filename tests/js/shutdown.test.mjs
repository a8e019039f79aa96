// A server that is told to stop (SIGTERM to MADANG_PID) says so on its sockets. To be run last: the server is gone then.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Raw } from './support/socket.mjs';

test('sockets are closed with 1001', async () => {
  assert.ok(process.env.MADANG_PID, 'MADANG_PID must name the process of the server');
  const [anonymous, waiting] = [await Raw.ready(), await Raw.open()];
  process.kill(Number(process.env.MADANG_PID), 'SIGTERM');
  assert.equal((await anonymous.ended()).code, 1001);
  assert.equal((await waiting.ended()).code, 1001);
});
