// The chat page: signing in, the list of chats, and the window of one of them.
import './main.css';
import { call, connect, refresh, run, sayable, signIn, signOut, signUp } from './api.js';
import { avatar, field, form, h } from './dom.js';
import { Talk } from './talk.js';
import { switchLanguage, words } from './words.js';

const app = document.getElementById('app');
const CARD = 'id name information isDirect isClosed unreadCount participantCount lastChat { content isDeleted author { name } }';

let viewer = null;
let socket = null;
let talk = null;
let list = null;

const shown = (error) => Object.assign(error, { shown: sayable(error) });

function languageButton() {
  return h('button', { className: 'plain language', onclick: () => (switchLanguage(), start()) }, words.language);
}

/** The form to sign in, or to create an account. */
function welcome(isNew = false) {
  document.title = '마당 chat';
  const fields = isNew
    ? [
        field(words.name, { name: 'name', autocomplete: 'username', required: true, maxLength: 64 }),
        field(words.email, { name: 'email', type: 'email', autocomplete: 'email', required: true }),
        field(words.password, { name: 'password', type: 'password', autocomplete: 'new-password', required: true, minLength: 8 }),
      ]
    : [
        field(words.nameOrEmail, { name: 'name', autocomplete: 'username', required: true }),
        field(words.password, { name: 'password', type: 'password', autocomplete: 'current-password', required: true }),
      ];
  const submit = async ({ name, email, password }) => {
    try {
      await (isNew ? signUp(name, email, password) : signIn(name, password));
      await start();
    } catch (error) {
      throw shown(error);
    }
  };
  app.replaceChildren(
    h(
      'main',
      { className: 'welcome' },
      h('h1', {}, '마당'),
      form({}, fields, isNew ? words.signUp : words.signIn, submit),
      h('button', { className: 'plain', onclick: () => welcome(!isNew) }, isNew ? words.hasAccount : words.noAccount),
      languageButton(),
    ),
  );
  app.querySelector('input').focus();
}

/** The list of chats. */
class List {
  #filter = 'JOINED';
  #search = '';
  #loads = 0;

  constructor() {
    this.items = h('ul', { className: 'sessions' });
    this.tabs = h('div', { className: 'tabs', role: 'tablist' });
    const search = h('input', {
      type: 'search',
      placeholder: words.search,
      aria: { label: words.search },
      oninput: () => {
        this.#search = search.value;
        this.load();
      },
    });
    this.creating = h('dialog', {});
    this.element = h(
      'nav',
      { className: 'list', aria: { label: words.chats } },
      h(
        'header',
        {},
        avatar(viewer.name),
        h('strong', {}, viewer.name),
        languageButton(),
        h('button', { className: 'plain', onclick: () => signOut().then(start) }, words.signOut),
      ),
      h('div', { className: 'row' }, search, h('button', { className: 'main', onclick: () => this.#create() }, words.newChat)),
      this.tabs,
      this.items,
      this.creating,
    );
    this.#showTabs();
  }

  #showTabs() {
    const filters = { JOINED: words.mine, INVITED: words.invited, DISCOVERABLE: words.discover };
    this.tabs.replaceChildren(
      ...Object.entries(filters).map(([filter, label]) =>
        h('button', {
          role: 'tab',
          aria: { selected: String(filter === this.#filter) },
          onclick: () => this.show(filter),
        }, label),
      ),
    );
  }

  show(filter) {
    this.#filter = filter;
    this.#showTabs();
    this.load();
  }

  async load() {
    const turn = ++this.#loads;
    const data = await run(
      `query ($filter: ChatSessionFilter!, $search: String) { chatSessions(filter: $filter, search: $search, first: 50) { nodes { ${CARD} } } }`,
      { filter: this.#filter, search: this.#search || null },
    ).catch(() => null);
    // An earlier answer that comes late is not the one.
    if (!data || turn !== this.#loads) return;
    const { nodes } = data.chatSessions;
    const nothing = this.#filter === 'JOINED' && !this.#search ? words.nothingMine : words.nothingHere;
    this.items.replaceChildren(
      ...(nodes.length > 0 ? nodes.map((session) => this.#card(session)) : [h('li', { className: 'nothing' }, nothing)]),
    );
    this.mark();
  }

  #card(session) {
    const { id, name, lastChat, unreadCount } = session;
    const said = lastChat && !lastChat.isDeleted && `${lastChat.author?.name ?? words.nobody}: ${lastChat.content}`;
    const open = h(
      'button',
      { className: 'session', data: { id }, onclick: () => (this.#filter === 'JOINED' ? go(id) : undefined) },
      avatar(name),
      h('span', { className: 'lines' }, h('strong', {}, name), h('small', {}, said || session.information)),
      unreadCount > 0 && h('span', { className: 'badge', aria: { label: words.unread(unreadCount) } }, unreadCount > 99 ? '99+' : unreadCount),
    );
    const act = (name, next) => async () => {
      await call(name, { id }, name === 'joinChatSession' ? 'chatSession { id }' : 'declinedChatSessionId').catch(() => {});
      next();
    };
    const join = act('joinChatSession', () => (this.show('JOINED'), go(id)));
    if (this.#filter === 'JOINED') return h('li', {}, open);
    return h(
      'li',
      {},
      open,
      h('button', { className: 'main', onclick: join }, words.join),
      this.#filter === 'INVITED' && h('button', { onclick: act('declineChatInvitation', () => this.load()) }, words.decline),
    );
  }

  /** Marks the one that is open. */
  mark() {
    for (const button of this.items.querySelectorAll('.session')) {
      button.setAttribute('aria-current', String(button.dataset.id === here()));
    }
  }

  #create() {
    const submit = async ({ name, information, open }) => {
      try {
        const input = { name, information, isVisible: open === 'on' };
        const { chatSession } = await call('createChatSession', input, 'chatSession { id }');
        this.creating.close();
        this.show('JOINED');
        go(chatSession.id);
      } catch (error) {
        throw shown(error);
      }
    };
    const fields = [
      field(words.name, { name: 'name', required: true, maxLength: 64, autocomplete: 'off' }),
      field(words.about, { name: 'information', required: true, maxLength: 256, autocomplete: 'off' }),
      h('label', { className: 'check' }, h('input', { type: 'checkbox', name: 'open', checked: true }), words.open),
    ];
    this.creating.replaceChildren(
      h('h3', {}, words.newChat),
      form({}, fields, words.create, submit),
      h('button', { className: 'plain', onclick: () => this.creating.close() }, words.cancel),
    );
    this.creating.showModal();
  }
}

/** The id of the chat that the address names. */
const here = () => location.hash.slice(1);
const go = (id) => {
  if (here() === id) show();
  else location.hash = id;
};

/** Shows the chat that the address names, or none. */
function show() {
  talk?.close();
  talk = null;
  const id = here();
  document.body.classList.toggle('in-talk', id !== '');
  const place = app.querySelector('.place');
  if (!place) return;
  if (id === '') {
    place.replaceChildren(h('p', { className: 'nothing' }, words.pick));
  } else {
    talk = new Talk({ socket, viewer, id, leave: () => ((location.hash = ''), list.load()) });
    place.replaceChildren(talk.element);
  }
  list.mark();
}

function showState(isConnected, code) {
  document.body.classList.toggle('away', !isConnected);
  // The sign-in session has ended.
  if (code === 4401) start();
}

async function start() {
  talk?.close();
  talk = null;
  socket?.dispose();
  socket = null;
  document.body.classList.remove('in-talk', 'away');
  try {
    const data = await run('{ viewer { id name } }');
    viewer = data.viewer;
    if (!viewer) {
      await refresh();
      ({ viewer } = await run('{ viewer { id name } }'));
    }
  } catch {
    viewer = null;
  }
  if (!viewer) return welcome();
  document.title = `마당 · ${viewer.name}`;
  socket = connect(showState);
  list = new List();
  app.replaceChildren(
    h('p', { className: 'banner', role: 'status' }, words.reconnecting),
    list.element,
    h('main', { className: 'place' }),
  );
  const reload = () => list?.load();
  socket.subscribe(
    { query: 'subscription { chatSessionChanged { id } }' },
    {
      next: ({ errors }) => {
        reload();
        if (errors) setTimeout(reload, 2_000);
      },
      error: () => {},
      complete: () => {},
    },
  );
  await list.load();
  show();
}

window.onhashchange = show;
document.addEventListener('visibilitychange', () => !document.hidden && list?.load());
start();
