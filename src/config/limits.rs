//! Every limit, with its default.

use std::time::Duration;

use clap::Args;

use super::values::positive_time;

/// How much is too much. Zero, where it is taken, means none at all.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    #[arg(long = "limit-body", env = "LIMIT_BODY", default_value_t = 1 << 20, value_name = "BYTES", value_parser = some())]
    pub body: usize,
    /// Bytes of posts' and comments' contents in one answer.
    #[arg(long = "limit-answer", env = "LIMIT_ANSWER", default_value_t = 8 << 20, value_name = "BYTES", value_parser = some())]
    pub answer: usize,
    /// Bytes of answers that one connection has not read yet.
    #[arg(
        long = "limit-unread-connection",
        env = "LIMIT_UNREAD_CONNECTION",
        default_value_t = 16 << 20,
        value_name = "BYTES", value_parser = some()
    )]
    pub unread_connection: usize,
    /// Bytes of answers that the connections of one address have not read yet.
    #[arg(
        long = "limit-unread-address",
        env = "LIMIT_UNREAD_ADDRESS",
        default_value_t = 64 << 20,
        value_name = "BYTES", value_parser = some()
    )]
    pub unread_address: usize,
    /// Bytes of answers that all connections have not read yet.
    #[arg(
        long = "limit-unread",
        env = "LIMIT_UNREAD",
        default_value_t = 256 << 20,
        value_name = "BYTES", value_parser = some()
    )]
    pub unread: usize,
    /// How long a client may take to read 16 KiB, or the rest of an answer.
    #[arg(long = "limit-read-time", env = "LIMIT_READ_TIME", default_value = "10s", value_name = "TIME", value_parser = positive_time)]
    pub read_time: Duration,
    /// How long a client may take to send the headers of a request, and a connection may be idle.
    #[arg(long = "limit-header-time", env = "LIMIT_HEADER_TIME", default_value = "10s", value_name = "TIME", value_parser = positive_time)]
    pub header_time: Duration,
    /// Open connections, WebSockets included, on each server. The limit of open files may leave room for fewer.
    #[arg(
        long = "limit-connections",
        env = "LIMIT_CONNECTIONS",
        default_value_t = 20_000,
        value_name = "N", value_parser = some()
    )]
    pub connections: usize,
    /// Open connections of one address, on each server; behind a trusted proxy, requests at once of one client.
    #[arg(
        long = "limit-connections-address",
        env = "LIMIT_CONNECTIONS_ADDRESS",
        default_value_t = 1_000,
        value_name = "N", value_parser = some()
    )]
    pub connections_address: usize,
    /// Levels of a document; introspection is counted apart.
    #[arg(
        long = "limit-depth",
        env = "LIMIT_DEPTH",
        default_value_t = 15,
        value_name = "N", value_parser = some()
    )]
    pub depth: usize,
    /// Objects that a document may ask for.
    #[arg(
        long = "limit-complexity",
        env = "LIMIT_COMPLEXITY",
        default_value_t = 5_000,
        value_name = "N", value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub complexity: u64,
    /// Objects that what runs at once for one address may ask for together; more waits. Events of subscriptions have as
    /// much for themselves.
    #[arg(
        long = "limit-complexity-address",
        env = "LIMIT_COMPLEXITY_ADDRESS",
        default_value_t = 5_000,
        value_name = "N", value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub complexity_address: u64,
    /// Aliases in a document.
    #[arg(
        long = "limit-aliases",
        env = "LIMIT_ALIASES",
        default_value_t = 30,
        value_name = "N"
    )]
    pub aliases: usize,
    /// Root fields in an operation.
    #[arg(
        long = "limit-root-fields",
        env = "LIMIT_ROOT_FIELDS",
        default_value_t = 20,
        value_name = "N", value_parser = some()
    )]
    pub root_fields: usize,
    /// Directives in a document.
    #[arg(
        long = "limit-directives",
        env = "LIMIT_DIRECTIVES",
        default_value_t = 20,
        value_name = "N"
    )]
    pub directives: usize,
    /// Lexical tokens of a document.
    #[arg(
        long = "limit-tokens",
        env = "LIMIT_TOKENS",
        default_value_t = 5_000,
        value_name = "N", value_parser = some()
    )]
    pub tokens: usize,
    /// Values in the JSON of a request: texts, numbers, lists, objects.
    #[arg(
        long = "limit-values",
        env = "LIMIT_VALUES",
        default_value_t = 20_000,
        value_name = "N", value_parser = some()
    )]
    pub values: usize,
    /// Items of a page: the most that first and last may ask for.
    #[arg(
        long = "limit-page",
        env = "LIMIT_PAGE",
        default_value_t = 100,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub page: u32,
    /// Ids in one list.
    #[arg(
        long = "limit-ids",
        env = "LIMIT_IDS",
        default_value_t = 100,
        value_name = "N", value_parser = some()
    )]
    pub ids: usize,
    /// Files in one request.
    #[arg(
        long = "limit-uploads",
        env = "LIMIT_UPLOADS",
        default_value_t = 20,
        value_name = "N"
    )]
    pub uploads: usize,
    /// How long a request may take.
    #[arg(long = "limit-request-time", env = "LIMIT_REQUEST_TIME", default_value = "15s", value_name = "TIME", value_parser = positive_time)]
    pub request_time: Duration,
    /// Connections to MySQL or MariaDB of one process.
    #[arg(
        long = "limit-database-connections",
        env = "LIMIT_DATABASE_CONNECTIONS",
        default_value_t = 16,
        value_name = "N", value_parser = connections()
    )]
    pub database_connections: usize,
    /// Connections to MongoDB of one process. `maxPoolSize` in MONGODB_URL wins.
    #[arg(
        long = "limit-mongodb-connections",
        env = "LIMIT_MONGODB_CONNECTIONS",
        default_value_t = 16,
        value_name = "N", value_parser = connections()
    )]
    pub mongodb_connections: usize,
    /// Bytes of a WebSocket message.
    #[arg(long = "limit-frame", env = "LIMIT_FRAME", default_value_t = 64 << 10, value_name = "BYTES", value_parser = some())]
    pub frame: usize,
    /// Operations that run at once on one WebSocket.
    #[arg(
        long = "limit-subscriptions",
        env = "LIMIT_SUBSCRIPTIONS",
        default_value_t = 50,
        value_name = "N"
    )]
    pub subscriptions: usize,
    /// WebSockets of one user, and subscriptions to chatSessionChanged, on each server.
    #[arg(
        long = "limit-sockets",
        env = "LIMIT_SOCKETS",
        default_value_t = 20,
        value_name = "N"
    )]
    pub sockets: usize,
    /// WebSockets without a sign-in from one address, on each server.
    #[arg(
        long = "limit-anonymous-sockets",
        env = "LIMIT_ANONYMOUS_SOCKETS",
        default_value_t = 64,
        value_name = "N"
    )]
    pub anonymous_sockets: usize,
    /// How long a WebSocket may wait with its connection_init.
    #[arg(long = "limit-init-time", env = "LIMIT_INIT_TIME", default_value = "3s", value_name = "TIME", value_parser = positive_time)]
    pub init_time: Duration,
    /// Log-ins a minute per account and address together.
    #[arg(
        long = "limit-login",
        env = "LIMIT_LOGIN",
        default_value_t = 5,
        value_name = "N"
    )]
    pub login: u32,
    /// Log-ins a minute per address.
    #[arg(
        long = "limit-login-address",
        env = "LIMIT_LOGIN_ADDRESS",
        default_value_t = 20,
        value_name = "N"
    )]
    pub login_address: u32,
    /// Log-ins an hour per account.
    #[arg(
        long = "limit-login-account",
        env = "LIMIT_LOGIN_ACCOUNT",
        default_value_t = 100,
        value_name = "N"
    )]
    pub login_account: u32,
    /// Refreshes of access tokens a minute per sign-in session.
    #[arg(
        long = "limit-refresh",
        env = "LIMIT_REFRESH",
        default_value_t = 10,
        value_name = "N"
    )]
    pub refresh: u32,
    /// Sign-in sessions of a user; a new one ends the oldest.
    #[arg(
        long = "limit-sign-ins",
        env = "LIMIT_SIGN_INS",
        default_value_t = 100,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub sign_ins: u32,
    /// Sign-ups an hour per address.
    #[arg(
        long = "limit-sign-up",
        env = "LIMIT_SIGN_UP",
        default_value_t = 10,
        value_name = "N"
    )]
    pub sign_up: u32,
    /// Mutations a minute per user.
    #[arg(
        long = "limit-writes",
        env = "LIMIT_WRITES",
        default_value_t = 60,
        value_name = "N"
    )]
    pub writes: u32,
    /// Questions to AI models of one user that wait for their answer.
    #[arg(
        long = "limit-waiting-ai-logs",
        env = "LIMIT_WAITING_AI_LOGS",
        default_value_t = 100,
        value_name = "N"
    )]
    pub waiting_ai_logs: u32,
    /// Chats in ten seconds per user.
    #[arg(
        long = "limit-chats",
        env = "LIMIT_CHATS",
        default_value_t = 10,
        value_name = "N"
    )]
    pub chats: u32,
    /// Chat sessions that one user has created, direct chats included.
    #[arg(
        long = "limit-chat-sessions",
        env = "LIMIT_CHAT_SESSIONS",
        default_value_t = 1_000,
        value_name = "N"
    )]
    pub chat_sessions: u32,
    /// Chat sessions that one user takes part in. More are neither joined nor created.
    #[arg(
        long = "limit-chat-participations",
        env = "LIMIT_CHAT_PARTICIPATIONS",
        default_value_t = 1_000,
        value_name = "N"
    )]
    pub chat_participations: u32,
    /// Changes of a chat session that a subscription goes back. An older cursor is RESYNC_REQUIRED.
    #[arg(
        long = "limit-replay",
        env = "LIMIT_REPLAY",
        default_value_t = 10_000,
        value_name = "N"
    )]
    pub replay: u32,
    /// Open invitations to the chat sessions of one user.
    #[arg(
        long = "limit-invitations",
        env = "LIMIT_INVITATIONS",
        default_value_t = 1_000,
        value_name = "N"
    )]
    pub invitations: u32,
}

/// At least one.
fn some() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u32)
        .range(1..)
        .map(|number| number as usize)
}

fn connections() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u32)
        .range(1..=10_000)
        .map(|number| number as usize)
}
