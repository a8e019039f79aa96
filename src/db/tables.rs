//! The tables, as diesel sees them on both engines. The migrations create them; a test compares the two. Instants are
//! microseconds since 1970 (UTC), ids the 16 bytes of a UUIDv7. A `…_key` column holds its text after NFKC and case
//! folding, so that both engines agree on which names are equal.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    /// Accounts.
    users (id) {
        id -> Binary,
        name -> Text,
        name_key -> Text,
        email -> Text,
        email_key -> Text,
        /// Argon2id in PHC string format.
        password_hash -> Text,
        /// 0 user, 1 admin.
        role -> SmallInt,
        is_banned -> Bool,
        ban_reason -> Nullable<Text>,
        joined_at -> BigInt,
        updated_at -> Nullable<BigInt>,
    }
}

table! {
    /// Devices that are signed in. Deleting the row ends the session.
    sign_in_sessions (id) {
        id -> Binary,
        user_id -> Binary,
        created_at -> BigInt,
        last_used_at -> BigInt,
        expires_at -> BigInt,
        user_agent -> Nullable<Text>,
        ip -> Nullable<Text>,
    }
}

table! {
    /// Refresh tokens, including used ones: a used token that is shown again reveals a theft.
    refresh_tokens (hash) {
        /// SHA-256 of the token.
        hash -> Binary,
        session_id -> Binary,
        expires_at -> BigInt,
        /// When it was first exchanged for a new one.
        rotated_at -> Nullable<BigInt>,
    }
}

table! {
    /// The networks that accounts signed in from in the last 90 days.
    sign_in_addresses (user_id, network) {
        user_id -> Binary,
        /// An IPv4 address, or the first 64 bits of an IPv6 address.
        network -> Text,
        signed_in_at -> BigInt,
    }
}

table! {
    /// Boards.
    boards (id) {
        id -> Binary,
        name -> Text,
        name_key -> Text,
        information -> Text,
        /// Public; otherwise only for users with a grant.
        is_visible -> Bool,
        /// In service; otherwise only for admins.
        is_available -> Bool,
        /// Visible posts.
        post_count -> Integer,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
    }
}

table! {
    /// Who may enter which private board.
    board_grants (board_id, user_id) {
        board_id -> Binary,
        user_id -> Binary,
        granted_at -> BigInt,
    }
}

table! {
    /// Posts.
    posts (id) {
        id -> Binary,
        board_id -> Binary,
        /// Null once the account is deleted.
        author_id -> Nullable<Binary>,
        title -> Text,
        /// Visible to all readers; otherwise only to its author and admins.
        is_visible -> Bool,
        /// One per reader and hour. A few seconds behind.
        view_count -> Integer,
        like_count -> Integer,
        /// Visible comments.
        comment_count -> Integer,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
        /// The last change or the creation. The index for ordering by it needs it.
        changed_at -> BigInt,
        content -> Text,
        /// Numbers posts in the order of insertion. The key of the search table.
        number -> BigInt,
    }
}

table! {
    /// The search index of posts, by number: a FULLTEXT index on MySQL; an FTS5 table, whose rowid is the number, on
    /// SQLite.
    post_search (number) {
        number -> BigInt,
        /// The words that the program makes from title and content.
        terms -> Text,
    }
}

table! {
    /// Who likes which post.
    likes (post_id, user_id) {
        post_id -> Binary,
        user_id -> Binary,
        created_at -> BigInt,
    }
}

table! {
    /// Comments on posts.
    comments (id) {
        id -> Binary,
        post_id -> Binary,
        /// Null once the account is deleted.
        author_id -> Nullable<Binary>,
        content -> Text,
        /// Visible to all readers; otherwise only to its author and admins.
        is_visible -> Bool,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
    }
}

table! {
    /// What the cache of a server without Redis must not forget when it is restarted.
    cache_entries (name) {
        name -> Text,
        /// 0 counter, 1 value, 2 claim, 3 fence of a lock.
        kind -> SmallInt,
        number -> BigInt,
        value -> Nullable<Binary>,
        /// Null for fences, which stay.
        expires_at -> Nullable<BigInt>,
    }
}

table! {
    /// Background work.
    jobs (id) {
        id -> Binary,
        kind -> Text,
        /// JSON; empty once it has succeeded.
        payload -> Text,
        /// 0 queued, 1 running, 2 succeeded, 3 failed, 4 cancelled.
        state -> SmallInt,
        attempts -> Integer,
        max_attempts -> Integer,
        /// Grows with each claim and each end: who has an older one may write nothing.
        fence -> BigInt,
        /// From 0 to 1.
        progress -> Nullable<Double>,
        error -> Nullable<Text>,
        created_at -> BigInt,
        started_at -> Nullable<BigInt>,
        finished_at -> Nullable<BigInt>,
        /// Queued: from when it may run. Running: until when it is leased. Null once it has ended.
        due_at -> Nullable<BigInt>,
        worker -> Nullable<Text>,
        /// The kind, for a job of which there is only one.
        single_key -> Nullable<Text>,
    }
}

table! {
    /// Places to chat in. What is said in them is in documents.
    chat_sessions (id) {
        id -> Binary,
        name -> Text,
        name_key -> Text,
        information -> Text,
        /// Null once the account is deleted.
        creator_id -> Nullable<Binary>,
        /// Discoverable, and open to all users.
        is_visible -> Bool,
        /// Nobody can write any more.
        is_closed -> Bool,
        /// The ids of the two users of a direct chat, the smaller one first.
        direct_key -> Nullable<Binary>,
        participant_count -> Integer,
        /// Grows whenever somebody stops to take part, so that servers notice who lost the right to read.
        people_rev -> Integer,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
        /// When something was last said, or the creation. About a second behind.
        last_activity_at -> BigInt,
    }
}

table! {
    /// Who takes part in which chat session.
    chat_participants (session_id, user_id) {
        session_id -> Binary,
        user_id -> Binary,
        joined_at -> BigInt,
        /// The newest chat that the user has read, by its seq.
        read_seq -> Integer,
        /// Left out of the user's list, until something is said in it. Of direct chats only.
        is_hidden -> Bool,
    }
}

table! {
    /// Who may join which chat session by invitation.
    chat_invitations (session_id, user_id) {
        session_id -> Binary,
        user_id -> Binary,
        invited_at -> BigInt,
    }
}

table! {
    /// Files of posts and comments. One with neither is deleted, and its bytes are about to be.
    files (id) {
        id -> Binary,
        /// Who uploaded it, and whose quota it counts for.
        owner_id -> Nullable<Binary>,
        post_id -> Nullable<Binary>,
        comment_id -> Nullable<Binary>,
        name -> Text,
        content_type -> Text,
        /// In bytes.
        size -> BigInt,
        /// Of images, in pixels, as they are shown.
        width -> Nullable<Integer>,
        height -> Nullable<Integer>,
        /// The media type of its thumbnails, once they are made.
        thumbnail_type -> Nullable<Text>,
        created_at -> BigInt,
    }
}

table! {
    /// How many bytes the files of a user take.
    file_usage (user_id) {
        user_id -> Binary,
        bytes -> BigInt,
    }
}

table! {
    /// AI models.
    ai_models (id) {
        id -> Binary,
        name -> Text,
        name_key -> Text,
        description -> Text,
        /// Visible to all users; otherwise only to admins.
        is_visible -> Bool,
        /// Whether it may be asked.
        is_available -> Bool,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
        /// What it is trained on; null: AI_test.csv.
        dataset_id -> Nullable<Binary>,
        /// The column that it learns to predict.
        target -> Text,
        /// The share of rows that it is tested on.
        test_fraction -> Double,
        /// Which rows these are.
        seed -> Integer,
        /// Numbers the trainings.
        training -> Integer,
        /// The training whose model is in use.
        trained -> Nullable<Integer>,
        /// What it has learned, JSON.
        learned -> Nullable<Text>,
        /// The training that was begun last.
        job_id -> Binary,
        /// How the job ended, as in jobs, for the time after it is deleted.
        state -> Nullable<SmallInt>,
        error -> Nullable<Text>,
        finished_at -> Nullable<BigInt>,
    }
}

table! {
    /// What users asked AI models. Answers are documents.
    ai_logs (id) {
        id -> Binary,
        /// Null once the model is deleted.
        model_id -> Nullable<Binary>,
        user_id -> Binary,
        description -> Text,
        created_at -> BigInt,
        updated_at -> Nullable<BigInt>,
        /// An uploaded data set, until the answer is there.
        dataset_id -> Nullable<Binary>,
        /// In bytes.
        dataset_size -> Nullable<BigInt>,
        /// The attempt whose documents are the answer.
        result -> Nullable<BigInt>,
        job_id -> Binary,
        /// How the job ended, as in jobs, for the time after it is deleted.
        state -> Nullable<SmallInt>,
        error -> Nullable<Text>,
        finished_at -> Nullable<BigInt>,
    }
}

joinable!(sign_in_sessions -> users (user_id));
joinable!(refresh_tokens -> sign_in_sessions (session_id));
joinable!(board_grants -> users (user_id));
joinable!(board_grants -> boards (board_id));
joinable!(posts -> boards (board_id));
joinable!(comments -> posts (post_id));
joinable!(likes -> posts (post_id));
joinable!(chat_participants -> chat_sessions (session_id));
joinable!(chat_participants -> users (user_id));
joinable!(chat_invitations -> chat_sessions (session_id));
allow_tables_to_appear_in_same_query!(
    users,
    sign_in_sessions,
    refresh_tokens,
    boards,
    board_grants,
    posts,
    likes,
    comments,
    chat_sessions,
    chat_participants,
    chat_invitations,
    files,
    file_usage,
    jobs,
    ai_models,
    ai_logs
);
