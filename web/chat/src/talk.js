// One chat session: what was said, what happens, and what one says.
import { call, run, sayable } from './api.js';
import { avatar, h } from './dom.js';
import { language, words } from './words.js';

const LINE = 'id seq content createdAt updatedAt isDeleted author { id name }';
const PAGE = 50;
const EVENTS = `subscription ($session: ID!, $after: String) {
  chatEvents(chatSessionId: $session, after: $after, presence: true) {
    __typename cursor
    ... on ChatAdded { chat { ${LINE} } }
    ... on ChatUpdated { chat { ${LINE} } }
    ... on ChatDeleted { chat { ${LINE} } }
    ... on ChatReady { onlineCount chatSession { id name information isClosed participantCount } }
    ... on ChatSessionUpdated { chatSession { id name information isClosed participantCount } }
    ... on ParticipantsChanged { participantCount }
    ... on PresenceChanged { onlineCount cameOnline { id } wentOffline { id } }
    ... on ChatTyping { user { id name } }
  }
}`;
/** How long somebody counts as typing. */
const TYPING = 5_000;
const TELL_TYPING = 3_000;

const time = (iso) => new Date(iso).toLocaleTimeString(language, { hour: '2-digit', minute: '2-digit' });
const day = (iso) => new Date(iso).toLocaleDateString(language, { dateStyle: 'full' });

/** The window of a session. `leave` is called when it is left or lost. */
export class Talk {
  #socket;
  #viewer;
  #session;
  #end = null;
  /** Chats by seq, and what is sent and not acknowledged yet, by key. */
  #chats = new Map();
  #pending = new Map();
  #before = null;
  #typing = new Map();
  #toldTyping = 0;
  #read = 0;
  #editing = null;
  #leave;

  constructor({ socket, viewer, id, leave }) {
    this.#socket = socket;
    this.#viewer = viewer;
    this.#session = { id };
    this.#leave = leave;
    this.#build();
    this.#begin();
  }

  close() {
    this.#end?.();
    this.#end = () => {};
    clearInterval(this.#sweeping);
  }

  #sweeping = setInterval(() => this.#showTyping(), 1_000);

  #build() {
    this.title = h('h2', { tabIndex: -1 });
    this.about = h('p', { className: 'about' });
    this.count = h('button', { className: 'count', title: words.who, onclick: () => this.#showPeople() });
    this.log = h('ol', { className: 'log', role: 'log', tabIndex: 0, aria: { label: words.chats, live: 'polite' } });
    this.earlier = h('button', { className: 'earlier', onclick: () => this.#loadEarlier() }, words.earlier);
    this.newer = h('button', { className: 'newer', hidden: true, onclick: () => this.#toEnd() }, words.newer);
    this.typing = h('p', { className: 'typing', aria: { live: 'polite' } });
    this.input = h('textarea', {
      rows: 1,
      maxLength: 2_000,
      placeholder: words.write,
      aria: { label: words.write },
      oninput: () => this.#input(),
      onkeydown: (event) => this.#key(event),
    });
    this.button = h('button', { className: 'main', type: 'submit' }, words.send);
    this.cancel = h('button', { type: 'button', hidden: true, onclick: () => this.#stopEditing() }, words.cancel);
    this.composer = h('form', { className: 'composer' }, this.input, this.cancel, this.button);
    this.composer.onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.notice = h('p', { className: 'notice', hidden: true, role: 'status' });
    this.people = h('dialog', { className: 'people' });
    this.scroller = h('div', { className: 'scroller' }, this.earlier, this.log);
    this.scroller.onscroll = () => {
      if (this.#isAtEnd()) this.#markRead();
      if (this.scroller.scrollTop < 40 && !this.earlier.hidden && !this.earlier.disabled) this.#loadEarlier();
    };
    this.element = h(
      'section',
      { className: 'talk' },
      h(
        'header',
        {},
        h('button', { className: 'back', title: words.back, aria: { label: words.back }, onclick: () => this.#leave() }, '‹'),
        h('div', { className: 'heading' }, this.title, this.about),
        this.count,
        h('button', { className: 'leave', onclick: () => this.#quit() }, words.leave),
      ),
      this.scroller,
      this.newer,
      this.typing,
      this.notice,
      this.composer,
      this.people,
    );
  }

  /** Reads the newest page, and follows from where it ends. */
  async #begin() {
    this.#chats.clear();
    try {
      const data = await run(
        `query ($id: ID!) { chatSession(id: $id) {
          id name information isClosed isDirect participantCount onlineCount viewerLastReadSeq
          chats(last: ${PAGE}) { nodes { ${LINE} } pageInfo { hasPreviousPage startCursor } eventCursor }
        } }`,
        { id: this.#session.id },
      );
      if (this.#end) return;
      const { chats, ...session } = data.chatSession;
      this.#session = session;
      this.#read = session.viewerLastReadSeq ?? 0;
      this.#noteEarlier(chats.pageInfo);
      for (const chat of chats.nodes) this.#chats.set(chat.seq, chat);
      this.#showSession(session.onlineCount);
      this.#render();
      this.#toEnd();
      this.title.focus();
      this.#follow(chats.eventCursor);
    } catch (error) {
      this.#lose(sayable(error));
    }
  }

  #follow(after) {
    // The socket's client sends this object again whenever it has to connect again: with the last cursor.
    const variables = { session: this.#session.id, after };
    this.#end = this.#socket.subscribe(
      { query: EVENTS, variables },
      {
        next: ({ data, errors }) => {
          if (errors) return this.#fail(errors[0]);
          variables.after = data.chatEvents.cursor;
          this.#note(data.chatEvents);
        },
        error: () => {},
        complete: () => {},
      },
    );
  }

  #fail({ message, extensions }) {
    this.#end?.();
    this.#end = null;
    if (extensions?.code === 'RESYNC_REQUIRED') this.#begin();
    else if (extensions?.code === 'UNAVAILABLE') setTimeout(() => this.#begin(), 2_000);
    else this.#lose(extensions?.code ? words.lost : message);
  }

  #note(event) {
    const wasAtEnd = this.#isAtEnd();
    switch (event.__typename) {
      case 'ChatAdded':
      case 'ChatUpdated':
      case 'ChatDeleted': {
        const { chat } = event;
        // What lies before the first page is read when somebody scrolls there.
        const first = Math.min(...this.#chats.keys());
        if (this.#before && chat.seq < first) return;
        this.#chats.set(chat.seq, chat);
        this.#typing.delete(chat.author?.id);
        for (const [key, pending] of this.#pending) {
          if (pending.seq === chat.seq) this.#pending.delete(key);
        }
        this.#render();
        break;
      }
      case 'ChatReady':
        Object.assign(this.#session, event.chatSession);
        this.#showSession(event.onlineCount);
        for (const pending of this.#pending.values()) this.#send(pending);
        break;
      case 'ChatSessionUpdated':
        Object.assign(this.#session, event.chatSession);
        this.#showSession(this.#session.onlineCount);
        break;
      case 'ParticipantsChanged':
        this.#session.participantCount = event.participantCount;
        this.#showSession(this.#session.onlineCount);
        break;
      case 'PresenceChanged':
        this.#showSession(event.onlineCount);
        break;
      case 'ChatTyping':
        this.#typing.set(event.user.id, { name: event.user.name, until: Date.now() + TYPING });
        break;
    }
    this.#showTyping();
    if (wasAtEnd) this.#toEnd();
    else if (event.__typename === 'ChatAdded') this.newer.hidden = false;
  }

  #showSession(online) {
    this.#session.onlineCount = online;
    const { name, information, participantCount, isClosed, isDirect } = this.#session;
    this.title.textContent = name;
    this.about.textContent = isDirect ? '' : information;
    const known = online === null || online === undefined ? [] : [words.online(online)];
    this.count.textContent = [words.people(participantCount), ...known].join(' · ');
    this.notice.hidden = !isClosed;
    this.notice.textContent = isClosed ? words.closed : '';
    this.composer.hidden = isClosed;
  }

  #showTyping() {
    for (const [id, { until }] of this.#typing) if (until < Date.now()) this.#typing.delete(id);
    const names = [...this.#typing.values()].map(({ name }) => name);
    this.typing.textContent = names.length > 0 ? words.typing(names) : '';
  }

  async #showPeople() {
    const data = await run(
      `query ($id: ID!) { chatSession(id: $id) { participants(first: 100) { edges { isOnline node { id name } } } } }`,
      { id: this.#session.id },
    ).catch(() => null);
    if (!data) return;
    const people = data.chatSession.participants.edges.map(({ node, isOnline }) =>
      h('li', { className: isOnline ? 'online' : '' }, avatar(node.name), node.name),
    );
    this.people.replaceChildren(
      h('h3', {}, words.who),
      h('ul', {}, ...people),
      h('form', { method: 'dialog' }, h('button', { className: 'main' }, 'OK')),
    );
    this.people.showModal();
  }

  #render() {
    const chats = [...this.#chats.values()].sort((one, other) => one.seq - other.seq);
    const items = [];
    let last = null;
    for (const chat of [...chats, ...this.#pending.values()]) {
      if (!last || day(last.createdAt) !== day(chat.createdAt)) {
        items.push(h('li', { className: 'day' }, day(chat.createdAt)));
        last = null;
      }
      items.push(this.#line(chat, last));
      last = chat;
    }
    if (this.earlier.hidden) items.unshift(h('li', { className: 'day' }, words.begin));
    this.log.replaceChildren(...items);
  }

  #line(chat, last) {
    const name = chat.author?.name ?? words.nobody;
    const isOwn = chat.author?.id === this.#viewer.id;
    const follows = last?.author?.id === chat.author?.id && new Date(chat.createdAt) - new Date(last.createdAt) < 300_000;
    const meta = [h('time', { dateTime: chat.createdAt }, time(chat.createdAt))];
    if (chat.updatedAt && !chat.isDeleted) meta.push(` · ${words.edited}`);
    if (chat.key) meta.push(` · ${words.sending}`);
    const tools = [];
    if (isOwn && !chat.isDeleted && !chat.key && !this.#session.isClosed) {
      tools.push(
        h('button', { onclick: () => this.#startEditing(chat) }, words.edit),
        h('button', { onclick: () => this.#remove(chat) }, words.remove),
      );
    }
    if (chat.problem) tools.push(h('button', { className: 'retry', onclick: () => this.#send(chat) }, `${chat.problem} ${words.failed}`));
    return h(
      'li',
      {
        className: `line${isOwn ? ' own' : ''}${follows ? ' follows' : ''}${chat.isDeleted ? ' deleted' : ''}`,
        data: { seq: chat.seq ?? '' },
      },
      !isOwn && !follows && avatar(name),
      h(
        'div',
        { className: 'bubble' },
        !isOwn && !follows && h('strong', {}, name),
        h('p', {}, chat.isDeleted ? words.removed : chat.content),
        h('small', {}, ...meta),
      ),
      tools.length > 0 && h('span', { className: 'tools' }, ...tools),
    );
  }

  #noteEarlier({ hasPreviousPage, startCursor }) {
    this.#before = hasPreviousPage ? startCursor : null;
    this.earlier.hidden = !hasPreviousPage;
  }

  async #loadEarlier() {
    this.earlier.disabled = true;
    try {
      const data = await run(
        `query ($id: ID!, $before: String) { chatSession(id: $id) { chats(last: ${PAGE}, before: $before) {
          nodes { ${LINE} } pageInfo { hasPreviousPage startCursor } } } }`,
        { id: this.#session.id, before: this.#before },
      );
      const { nodes, pageInfo } = data.chatSession.chats;
      this.#noteEarlier(pageInfo);
      for (const chat of nodes) if (!this.#chats.has(chat.seq)) this.#chats.set(chat.seq, chat);
      const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
      this.#render();
      this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
    } catch {
      // It stays as it is, and can be tried again.
    } finally {
      this.earlier.disabled = false;
    }
  }

  #isAtEnd() {
    return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 60;
  }

  #toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.newer.hidden = true;
    this.#markRead();
  }

  #markRead() {
    this.newer.hidden = true;
    const last = Math.max(0, ...this.#chats.keys());
    if (last <= this.#read || document.hidden) return;
    this.#read = last;
    call('markChatSessionRead', { id: this.#session.id, seq: last }, 'chatSession { id }').catch(() => {});
  }

  #input() {
    this.input.style.height = 'auto';
    this.input.style.height = `${Math.min(this.input.scrollHeight, 160)}px`;
    if (this.input.value.trim() === '' || this.#editing || Date.now() - this.#toldTyping < TELL_TYPING) return;
    this.#toldTyping = Date.now();
    call('setTyping', { chatSessionId: this.#session.id }, 'success').catch(() => {});
  }

  #key(event) {
    // Enter also ends a syllable that is being composed.
    if (event.isComposing) return;
    if (event.key === 'Enter' && !event.shiftKey) {
      event.preventDefault();
      this.composer.requestSubmit();
    } else if (event.key === 'Escape' && this.#editing) {
      this.#stopEditing();
    } else if (event.key === 'ArrowUp' && this.input.value === '') {
      const own = [...this.#chats.values()].filter((chat) => chat.author?.id === this.#viewer.id && !chat.isDeleted);
      const last = own.sort((one, other) => one.seq - other.seq).at(-1);
      if (last) {
        event.preventDefault();
        this.#startEditing(last);
      }
    }
  }

  #startEditing(chat) {
    this.#editing = chat;
    this.input.value = chat.content;
    this.button.textContent = words.save;
    this.cancel.hidden = false;
    this.composer.classList.add('editing');
    this.input.focus();
    this.#input();
  }

  #stopEditing() {
    this.#editing = null;
    this.input.value = '';
    this.button.textContent = words.send;
    this.cancel.hidden = true;
    this.composer.classList.remove('editing');
    this.input.focus();
    this.#input();
  }

  async #submit() {
    const content = this.input.value;
    if (content.trim() === '') return;
    if (this.#editing) {
      const { id } = this.#editing;
      try {
        await call('updateChat', { id, content }, 'chat { id }');
        this.#stopEditing();
      } catch (error) {
        this.#tell(sayable(error));
      }
      return;
    }
    this.input.value = '';
    this.#input();
    this.#toldTyping = 0;
    const key = crypto.randomUUID();
    const pending = { key, content, author: this.#viewer, createdAt: new Date().toISOString() };
    this.#pending.set(key, pending);
    this.#render();
    this.#toEnd();
    this.#send(pending);
  }

  /** Sends a message until it is acknowledged: the same key is the same chat, however often it is sent. */
  async #send(pending) {
    if (pending.isBusy) return;
    pending.isBusy = true;
    try {
      const input = { chatSessionId: this.#session.id, content: pending.content, idempotencyKey: pending.key };
      const { chat } = await call('sendChat', input, `chat { ${LINE} }`);
      pending.seq = chat.seq;
      this.#pending.delete(pending.key);
      if (!this.#chats.has(chat.seq)) this.#chats.set(chat.seq, chat);
    } catch (error) {
      // A refusal is final; anything else is tried again when the connection is back.
      pending.problem = error.code && error.code !== 'UNAVAILABLE' ? error.message : '';
    } finally {
      pending.isBusy = false;
    }
    const wasAtEnd = this.#isAtEnd();
    this.#render();
    if (wasAtEnd) this.#toEnd();
  }

  async #remove(chat) {
    try {
      await call('deleteChat', { id: chat.id }, 'chat { id }');
    } catch (error) {
      this.#tell(sayable(error));
    }
  }

  async #quit() {
    try {
      await call('leaveChatSession', { id: this.#session.id }, 'chatSession { id }');
      this.#leave();
    } catch (error) {
      this.#tell(sayable(error));
    }
  }

  #tell(text) {
    this.notice.textContent = text;
    this.notice.hidden = false;
    setTimeout(() => this.#showSession(this.#session.onlineCount), 6_000);
  }

  #lose(text) {
    this.notice.textContent = text;
    this.notice.hidden = false;
    this.composer.hidden = true;
  }
}
