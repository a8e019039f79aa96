// A WebSocket that may misbehave, as no proper client lets one do.
import { WebSocket } from 'ws';
import { madang } from './madang.mjs';

const PATIENCE = 8_000;

/** Rejects when `promise` takes too long. */
export const within = (promise, what, patience = PATIENCE) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A raw socket: what is sent is not checked, what comes is kept in order. */
export class Raw {
  #messages = [];
  #waiting = [];

  constructor({ protocols = 'graphql-transport-ws', headers = {} } = {}) {
    this.ws = new WebSocket(madang.socketUrl, protocols, { headers });
    this.closed = new Promise((resolve) => {
      this.ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.opened = new Promise((resolve, reject) => {
      this.ws.on('open', () => resolve(this));
      this.ws.on('error', reject);
      this.ws.on('unexpected-response', (_, response) => {
        reject(Object.assign(new Error('no upgrade'), { status: response.statusCode }));
      });
    });
    this.opened.catch(() => {});
    this.ws.on('message', (data) => {
      const message = JSON.parse(data.toString());
      const waiting = this.#waiting.shift();
      if (waiting) waiting(message);
      else this.#messages.push(message);
    });
  }

  /** An open socket, not yet initialised. */
  static open(options) {
    return within(new Raw(options).opened, 'the upgrade');
  }

  /** An acknowledged socket. */
  static async ready(payload, options) {
    const raw = await Raw.open(options);
    raw.send({ type: 'connection_init', ...(payload && { payload }) });
    const message = await Promise.race([raw.next(), raw.closed]);
    if (message.type !== 'connection_ack') throw new Error(JSON.stringify(message));
    return raw;
  }

  send(message) {
    this.ws.send(typeof message === 'string' ? message : JSON.stringify(message));
    return this;
  }

  subscribe(id, query, variables) {
    return this.send({ id, type: 'subscribe', payload: { query, variables } });
  }

  /** The next message. */
  next() {
    if (this.#messages.length) return Promise.resolve(this.#messages.shift());
    return within(new Promise((resolve) => this.#waiting.push(resolve)), 'a message');
  }

  /** What has come and was not asked for, after a moment. */
  async rest(ms = 300) {
    await pause(ms);
    return this.#messages.splice(0);
  }

  /** How it was closed: { code, reason }. */
  ended(patience) {
    return within(this.closed, 'the close', patience);
  }

  end() {
    this.ws.terminate();
  }
}
