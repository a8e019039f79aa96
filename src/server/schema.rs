//! The schema: the roots of all features, and `node`, which knows all types.

use async_graphql::{
    Context, ID, Interface, MergedObject, MergedSubscription, Object, SDLExportOptions, Schema,
    extensions::ExtensionFactory,
};
use futures_util::future::join_all;

use crate::{
    access::{Access, AccessSentences, auth},
    accounts::{
        User,
        graphql::{SignInMutation, UserMutation, UserQuery},
        store::users::UserById,
    },
    ai::{
        AiLog, AiModel,
        graphql::{
            AiLogMutation, AiLogQuery, AiLogSubscription, AiModelMutation, AiModelQuery,
            AiModelSubscription,
        },
        store::{logs::ReadableLog, models::ReadableModel},
    },
    boards::{
        Board,
        graphql::{BoardMemberConnection, BoardMutation, BoardQuery},
        store::ReadableBoard,
    },
    chat::{
        Chat, ChatSession,
        graphql::{
            ChatConnection, ChatMutation, ChatParticipantConnection, ChatQuery, ChatSubscription,
            PeopleMutation, SessionMutation, SessionQuery,
        },
        store::{ReadableSession, talk::ReadableChat},
    },
    comments::{
        Comment,
        graphql::{CommentMutation, CommentQuery, CommentSubscription},
        store::ReadableComment,
    },
    connection::Connection,
    context::ContextExt,
    error::{Error, ErrorCode, Result, Rule},
    files::{Attachment, readable::ReadableFile},
    ids::{
        self, AiLogKind, AiModelKind, BoardKind, ChatKind, ChatSessionKind, CommentKind, FileKind,
        Id, JobKind, Kind, PostKind, UserKind,
    },
    jobs::{
        Job,
        graphql::{JobMutation, JobQuery, JobSubscription},
        store::JobById,
    },
    posts::{
        Post,
        graphql::{PostMutation, PostQuery, PostSubscription},
        store::ReadablePost,
    },
};

/// All queries.
#[derive(MergedObject, Default)]
pub struct Query(
    NodeQuery,
    UserQuery,
    BoardQuery,
    PostQuery,
    CommentQuery,
    JobQuery,
    SessionQuery,
    ChatQuery,
    AiModelQuery,
    AiLogQuery,
);

/// All mutations.
#[derive(MergedObject, Default)]
pub struct Mutation(
    SignInMutation,
    UserMutation,
    BoardMutation,
    PostMutation,
    CommentMutation,
    JobMutation,
    SessionMutation,
    PeopleMutation,
    ChatMutation,
    AiModelMutation,
    AiLogMutation,
);

/// All subscriptions.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    PostSubscription,
    CommentSubscription,
    JobSubscription,
    ChatSubscription,
    AiModelSubscription,
    AiLogSubscription,
);

/// The schema of this program.
pub type MadangSchema = Schema<Query, Mutation, Subscription>;

/// An object with a global id.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The global id: a prefix for the type, an underscore and the key."
))]
pub enum Node {
    User(User),
    Board(Board),
    Post(Post),
    Comment(Comment),
    Attachment(Attachment),
    Job(Job),
    ChatSession(ChatSession),
    Chat(Chat),
    AiModel(AiModel),
    AiLog(AiLog),
}

/// Queries for objects by their global ids.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object with this id; null if it does not exist or the viewer may not see it. The access of the query for its
    /// type applies.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The id of an object of any type.")] id: ID,
    ) -> Result<Option<Node>> {
        load(ctx, &id, "id").await
    }

    /// The objects with these ids, in the same order; null where one does not exist or the viewer may not see it. The
    /// access of the queries for their types applies.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 100 ids of objects of any type.")] ids: Vec<ID>,
    ) -> Result<Option<Vec<Option<Node>>>> {
        let most = ctx.app().config.limits.ids;
        if ids.len() > most {
            return Err(Error::LimitExceeded {
                what: "ids",
                limit: most as u64,
            });
        }
        let loads = ids
            .iter()
            .enumerate()
            .map(async |(n, id)| load(ctx, id, &format!("ids.{n}")).await);
        let nodes: Result<Vec<_>> = join_all(loads).await.into_iter().collect();
        nodes.map(Some)
    }
}

async fn load(ctx: &Context<'_>, id: &ID, field: &str) -> Result<Option<Node>> {
    let kind = ids::decode(id);
    let (prefix, uuid) =
        kind.ok_or_else(|| Error::invalid(field, Rule::IdType { expected: "node" }))?;
    Ok(match prefix {
        UserKind::PREFIX if ctx.may_query("user") => ctx
            .load::<UserById>(Id::from_uuid(uuid))
            .await?
            .map(Node::User),
        BoardKind::PREFIX if ctx.may_query("board") => ctx
            .load::<ReadableBoard>(Id::from_uuid(uuid))
            .await?
            .map(Node::Board),
        PostKind::PREFIX if ctx.may_query("post") => ctx
            .load::<ReadablePost>(Id::from_uuid(uuid))
            .await?
            .map(Node::Post),
        CommentKind::PREFIX if ctx.may_query("comment") => ctx
            .load::<ReadableComment>(Id::from_uuid(uuid))
            .await?
            .map(Node::Comment),
        // Posts and comments have the same access.
        FileKind::PREFIX if ctx.may_query("post") => ctx
            .load::<ReadableFile>(Id::from_uuid(uuid))
            .await?
            .map(Node::Attachment),
        JobKind::PREFIX if ctx.may_query("jobs") => ctx
            .load::<JobById>(Id::from_uuid(uuid))
            .await?
            .map(Node::Job),
        ChatSessionKind::PREFIX if ctx.may_query("chatSession") => ctx
            .load::<ReadableSession>(Id::from_uuid(uuid))
            .await?
            .map(Node::ChatSession),
        ChatKind::PREFIX if ctx.may_query("chat") => ctx
            .load::<ReadableChat>(Id::from_uuid(uuid))
            .await?
            .map(Node::Chat),
        AiModelKind::PREFIX if ctx.may_query("aiModel") => ctx
            .load::<ReadableModel>(Id::from_uuid(uuid))
            .await?
            .map(Node::AiModel),
        AiLogKind::PREFIX if ctx.may_query("aiLog") => ctx
            .load::<ReadableLog>(Id::from_uuid(uuid))
            .await?
            .map(Node::AiLog),
        UserKind::PREFIX
        | BoardKind::PREFIX
        | PostKind::PREFIX
        | CommentKind::PREFIX
        | FileKind::PREFIX
        | JobKind::PREFIX
        | ChatSessionKind::PREFIX
        | ChatKind::PREFIX
        | AiModelKind::PREFIX
        | AiLogKind::PREFIX => None,
        _ => return Err(Error::invalid(field, Rule::IdType { expected: "node" })),
    })
}

/// Builds the schema, with the extension that runs around each operation.
pub fn build(around: impl ExtensionFactory) -> MadangSchema {
    Schema::build(
        Query::default(),
        Mutation::default(),
        Subscription::default(),
    )
    .register_output_type::<Node>()
    .register_output_type::<ErrorCode>()
    .override_output_type_description::<Connection<User>>("A page of users.")
    .override_output_type_description::<Connection<Board>>("A page of boards.")
    .override_output_type_description::<BoardMemberConnection>("A page of a board's members.")
    .override_output_type_description::<Connection<Post>>("A page of posts.")
    .override_output_type_description::<Connection<Comment>>("A page of comments.")
    .override_output_type_description::<Connection<Job>>("A page of jobs.")
    .override_output_type_description::<Connection<ChatSession>>("A page of chat sessions.")
    .override_output_type_description::<Connection<AiModel>>("A page of AI models.")
    .override_output_type_description::<Connection<AiLog>>("A page of AI logs.")
    .override_output_type_description::<ChatConnection>("A page of what was said.")
    .override_output_type_description::<ChatParticipantConnection>(
        "A page of a chat session's participants.",
    )
    // Must be last, since it goes through all registered types.
    .register_output_type::<AccessSentences>()
    .extension(around)
    .finish()
}

/// The schema in GraphQL's schema definition language.
#[must_use]
pub fn sdl(schema: &MadangSchema) -> String {
    schema.sdl_with_options(
        SDLExportOptions::new()
            .include_specified_by()
            .use_space_ident(),
    )
}
