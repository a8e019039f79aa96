//! The texts of the demo, in Korean and English: sentences with placeholders for a thing, a place and a time.

use crate::random::Random;

/// A board: its name, its purpose and its subjects.
pub(super) struct Theme {
    pub name: &'static str,
    pub information: &'static str,
    things: &'static [&'static str],
    is_korean: bool,
}

pub(super) const THEMES: [Theme; 8] = [
    Theme {
        name: "자유게시판",
        information: "무엇이든 편하게 이야기하는 곳입니다.",
        things: &[
            "산책",
            "동네 카페",
            "장마",
            "주말 계획",
            "택배",
            "고양이",
            "버스 노선",
            "야시장",
        ],
        is_korean: true,
    },
    Theme {
        name: "요리와 맛집",
        information: "오늘 먹은 것, 내일 먹을 것.",
        things: &[
            "김치찌개",
            "떡볶이",
            "칼국수",
            "비빔밥",
            "된장",
            "제철 나물",
            "식빵",
            "막걸리",
        ],
        is_korean: true,
    },
    Theme {
        name: "텃밭",
        information: "씨앗을 나누고 벌레와 싸우는 이야기.",
        things: &[
            "상추",
            "고추 모종",
            "퇴비",
            "토마토",
            "감자",
            "무당벌레",
            "빗물통",
            "배추",
        ],
        is_korean: true,
    },
    Theme {
        name: "Village notes",
        information: "News and small talk in English.",
        things: &[
            "the market",
            "the library",
            "a lost umbrella",
            "the choir",
            "the new bridge",
            "bicycles",
            "the flood of last year",
        ],
        is_korean: false,
    },
    Theme {
        name: "Rust and other metals",
        information: "Programs, and the people who write them.",
        things: &[
            "the borrow checker",
            "async traits",
            "SQLite",
            "a failing test",
            "GraphQL cursors",
            "release builds",
            "error messages",
        ],
        is_korean: false,
    },
    Theme {
        name: "Repair café",
        information: "Bring it broken, take it home whole.",
        things: &[
            "a toaster",
            "an old radio",
            "the sewing machine",
            "headphones",
            "a wobbly chair",
            "the kettle",
            "a music box",
        ],
        is_korean: false,
    },
    Theme {
        name: "책 읽는 마당",
        information: "함께 읽고 천천히 이야기합니다.",
        things: &[
            "소설",
            "시집",
            "그림책",
            "도서관",
            "독서 모임",
            "밑줄 친 문장",
            "번역",
            "헌책방",
        ],
        is_korean: true,
    },
    Theme {
        name: "운영진",
        information: "For those who keep the place tidy. 운영진만 봅니다.",
        things: &["신고 목록", "공지 초안", "백업", "정모 장소", "규칙 개정"],
        is_korean: true,
    },
];

/// Which of [`THEMES`] is a private board.
pub(super) const PRIVATE: usize = THEMES.len() - 1;

const NAMES: [&str; 24] = [
    "지우", "민서", "하준", "서연", "도윤", "수아", "예린", "건우", "나래", "한별", "보람", "마루",
    "Ada", "Grace", "Linus", "Mina", "Jonas", "Sofia", "Emil", "Noah", "Yuna", "Hugo", "Clara",
    "Theo",
];

/// What the user number `n` is called.
pub(super) fn name(n: usize) -> String {
    let name = NAMES[n % NAMES.len()];
    match n / NAMES.len() {
        0 => name.to_owned(),
        round => format!("{name}{}", round + 1),
    }
}

const KOREAN_TITLES: [&str; 10] = [
    "{} 이야기 좀 해요",
    "{} 추천해 주세요",
    "오늘의 {}",
    "{} 때문에 웃은 날",
    "{}, 어떻게 생각하세요?",
    "처음 해 본 {}",
    "{} 나눔합니다",
    "{} 후기",
    "{}에 대한 질문",
    "다시 {}",
];
const KOREAN_SENTENCES: [&str; 16] = [
    "어제 저녁에 {} 이야기를 듣고 한참 웃었습니다.",
    "혹시 {} 잘 아시는 분 계신가요?",
    "작년 이맘때도 {} 때문에 모두 바빴지요.",
    "사진은 내일 올릴게요.",
    "아이들이 {} 보고 정말 좋아했어요.",
    "비가 와서 마당에서 하던 일은 미뤘습니다.",
    "{} 덕분에 이웃과 처음 인사를 나눴어요.",
    "생각보다 어렵지 않았습니다.",
    "다음 모임에서 {} 함께 해 보면 어떨까요?",
    "저는 조금 다르게 생각합니다.",
    "가격은 그대로인데 양이 줄었더라고요.",
    "할머니께 배운 방법이라 정확한 이름은 모르겠어요.",
    "{} 하나면 하루가 든든합니다.",
    "시간 되시는 분은 댓글로 알려 주세요.",
    "세 번 실패하고 네 번째에 성공했습니다.",
    "결국 {} 제자리에 돌려놓았어요.",
];
const KOREAN_COMMENTS: [&str; 12] = [
    "저도 그렇게 생각해요!",
    "좋은 글 고맙습니다.",
    "다음에는 저도 불러 주세요.",
    "사진 기다릴게요 📷",
    "우리 동네에는 없어서 아쉽네요.",
    "한번 해 볼게요.",
    "ㅋㅋㅋ 공감합니다",
    "어디서 구하셨어요?",
    "작년보다 나아졌네요.",
    "저는 반대예요. 이유는 조금 길어요.",
    "주말에 들를게요.",
    "정말 도움이 됐습니다.",
];
const ENGLISH_TITLES: [&str; 10] = [
    "A word about {}",
    "Who knows more about {}?",
    "{}, once again",
    "What I learned from {}",
    "Help with {}",
    "In praise of {}",
    "{} on a Sunday",
    "Has anybody seen {}?",
    "Notes on {}",
    "The trouble with {}",
];
const ENGLISH_SENTENCES: [&str; 16] = [
    "Yesterday somebody told me about {}, and I have thought of little else since.",
    "It took three attempts and a pot of tea.",
    "If you know more about {}, please write below.",
    "My neighbour says that {} used to be different.",
    "I brought pictures, but the light was bad.",
    "We meet on Thursday, as always, whatever the weather.",
    "There is a better way, and it is shorter too.",
    "Nobody could explain {} to me in one sentence.",
    "The children want to try it again tomorrow.",
    "It costs nothing but an hour of patience.",
    "I was wrong about {} and would like to say so here.",
    "Bring a friend, and something to sit on.",
    "Last year the same thing ended in laughter.",
    "What would you do without {}?",
    "The manual is silent on this point.",
    "In the end {} worked, and nobody knows why.",
];
const ENGLISH_COMMENTS: [&str; 12] = [
    "Same here!",
    "Thank you, that helped a lot.",
    "I would rather wait for spring.",
    "Pictures, please 📷",
    "Count me in for Thursday.",
    "We tried that in our street; it works.",
    "Where did you get it?",
    "I disagree, but kindly.",
    "This should be pinned.",
    "Ha, exactly my experience.",
    "Can I borrow it next week?",
    "Learned something today.",
];

impl Theme {
    /// A title and a content of some sentences.
    pub fn post(&self, random: &mut Random) -> (String, String) {
        let (titles, sentences) = if self.is_korean {
            (&KOREAN_TITLES, &KOREAN_SENTENCES)
        } else {
            (&ENGLISH_TITLES, &ENGLISH_SENTENCES)
        };
        let title = self.fill(random.pick(titles), random);
        let mut content = self.fill(random.pick(sentences), random);
        for _ in 0..1 + random.skewed(8) {
            content.push_str(if random.percent(20) { "\n\n" } else { " " });
            content.push_str(&self.fill(random.pick(sentences), random));
        }
        (title, content)
    }

    /// A comment on a post.
    pub fn comment(&self, random: &mut Random) -> String {
        let (comments, sentences) = if self.is_korean {
            (&KOREAN_COMMENTS, &KOREAN_SENTENCES)
        } else {
            (&ENGLISH_COMMENTS, &ENGLISH_SENTENCES)
        };
        let mut comment = random.pick(comments).to_owned();
        if random.percent(40) {
            comment.push(' ');
            comment.push_str(&self.fill(random.pick(sentences), random));
        }
        comment
    }

    fn fill(&self, sentence: &str, random: &mut Random) -> String {
        let filled = sentence.replace("{}", random.pick(self.things));
        let mut letters = filled.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect())
            .unwrap_or_default()
    }
}
