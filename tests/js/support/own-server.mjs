// A server of a test's own, which may be killed. MADANG_PROGRAM names the program.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause } from './socket.mjs';

const PROGRAM = process.env.MADANG_PROGRAM ?? join(import.meta.dirname, '../../../target/debug/madang');

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export class OwnServer {
  static async start() {
    const server = new OwnServer();
    server.folder = await mkdtemp(join(tmpdir(), 'madang-server-'));
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    await server.start();
    return server;
  }

  /** Starts it, again on the same port and with what it had saved. */
  async start() {
    const args = ['serve', '--volume-dir', this.folder, '--bind', `127.0.0.1:${this.port}`, '--rate-limits', 'off'];
    this.process = spawn(PROGRAM, args, { stdio: 'ignore' });
    for (let tries = 0; tries < 300; tries++) {
      const answer = await fetch(`${this.url}/readyz`).catch(() => null);
      if (answer?.ok) return;
      if (this.process.exitCode !== null) break;
      await pause(100);
    }
    throw new Error('the server does not start');
  }

  async kill() {
    const { process } = this;
    if (process.exitCode !== null || process.signalCode !== null) return;
    const end = once(process, 'exit');
    process.kill('SIGKILL');
    await end;
  }

  async end() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
