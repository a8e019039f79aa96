// What the page says, in English and Korean.

const WORDS = {
  en: {
    signIn: 'Sign in',
    signUp: 'Create account',
    signOut: 'Sign out',
    noAccount: 'No account yet? Create one',
    hasAccount: 'Have an account? Sign in',
    name: 'Name',
    nameOrEmail: 'Name or e-mail',
    email: 'E-mail',
    password: 'Password',
    chats: 'Chats',
    mine: 'Mine',
    invited: 'Invitations',
    discover: 'Discover',
    search: 'Search by name',
    newChat: 'New chat',
    about: 'What is it for?',
    open: 'Everybody can find and join it',
    create: 'Create',
    cancel: 'Cancel',
    join: 'Join',
    decline: 'Decline',
    leave: 'Leave',
    back: 'Back to the list',
    nothingMine: 'You take part in no chat yet. Discover one, or create your own.',
    nothingHere: 'There is nothing here.',
    pick: 'Pick a chat, or create one.',
    write: 'Write a message',
    send: 'Send',
    edit: 'Edit',
    save: 'Save',
    remove: 'Delete',
    removed: 'Deleted',
    edited: 'edited',
    sending: 'sending…',
    failed: 'Not sent. Try again',
    earlier: 'Earlier messages',
    begin: 'This is where it begins.',
    online: (count) => `${count} online`,
    people: (count) => (count === 1 ? '1 person' : `${count} people`),
    who: 'Who is here',
    typing: (names) => `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} typing…`,
    reconnecting: 'Connecting again…',
    closed: 'This chat is closed: nobody can write any more.',
    lost: 'You can no longer read this chat.',
    unread: (count) => `${count} unread`,
    newer: 'New messages',
    nobody: 'A deleted account',
    language: '한국어',
    oops: 'That did not work. Try again.',
  },
  ko: {
    signIn: '로그인',
    signUp: '가입하기',
    signOut: '로그아웃',
    noAccount: '계정이 없으신가요? 가입하기',
    hasAccount: '계정이 있으신가요? 로그인',
    name: '이름',
    nameOrEmail: '이름 또는 이메일',
    email: '이메일',
    password: '비밀번호',
    chats: '채팅',
    mine: '내 채팅',
    invited: '초대',
    discover: '둘러보기',
    search: '이름으로 찾기',
    newChat: '새 채팅',
    about: '어떤 채팅인가요?',
    open: '누구나 찾아서 참여할 수 있습니다',
    create: '만들기',
    cancel: '취소',
    join: '참여하기',
    decline: '거절',
    leave: '나가기',
    back: '목록으로',
    nothingMine: '아직 참여한 채팅이 없습니다. 둘러보거나 새로 만들어 보세요.',
    nothingHere: '아무것도 없습니다.',
    pick: '채팅을 고르거나 새로 만들어 보세요.',
    write: '메시지를 입력하세요',
    send: '보내기',
    edit: '수정',
    save: '저장',
    remove: '삭제',
    removed: '삭제된 메시지입니다',
    edited: '수정됨',
    sending: '보내는 중…',
    failed: '보내지 못했습니다. 다시 보내기',
    earlier: '이전 메시지',
    begin: '여기가 처음입니다.',
    online: (count) => `${count}명 접속 중`,
    people: (count) => `${count}명`,
    who: '참여한 사람',
    typing: (names) => `${names.join(', ')} 님이 입력하고 있습니다…`,
    reconnecting: '다시 연결하는 중…',
    closed: '닫힌 채팅입니다. 더는 쓸 수 없습니다.',
    lost: '이 채팅을 더는 볼 수 없습니다.',
    unread: (count) => `읽지 않음 ${count}`,
    newer: '새 메시지',
    nobody: '탈퇴한 사용자',
    language: 'English',
    oops: '잘 되지 않았습니다. 다시 시도해 주세요.',
  },
};

const KEY = 'madang-language';
const wanted = () => {
  const languages = [localStorage.getItem(KEY), ...navigator.languages, 'en'];
  return languages.map((language) => language?.slice(0, 2)).find((language) => language in WORDS);
};

export let language = wanted();
export let words = WORDS[language];

/** Switches to the other language. */
export function switchLanguage() {
  localStorage.setItem(KEY, language === 'en' ? 'ko' : 'en');
  language = wanted();
  words = WORDS[language];
  document.documentElement.lang = language;
}
document.documentElement.lang = language;
