//! The schema: what the features bring, in one place, and `node`, which knows all of them.

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
    boards::{
        Board,
        graphql::{BoardMemberConnection, BoardMutation, BoardQuery},
        store::ReadableBoard,
    },
    comments::{
        Comment,
        graphql::{CommentMutation, CommentQuery, CommentSubscription},
        store::ReadableComment,
    },
    connection::Connection,
    context::ContextExt,
    error::{Error, ErrorCode, Result, Rule},
    ids::{self, BoardKind, CommentKind, Id, Kind, PostKind, UserKind},
    posts::{
        Post,
        graphql::{PostMutation, PostQuery, PostSubscription},
        store::ReadablePost,
    },
};

/// Everything that can be asked for.
#[derive(MergedObject, Default)]
pub struct Query(NodeQuery, UserQuery, BoardQuery, PostQuery, CommentQuery);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(
    SignInMutation,
    UserMutation,
    BoardMutation,
    PostMutation,
    CommentMutation,
);

/// Everything that can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(PostSubscription, CommentSubscription);

/// The schema of this program.
pub type MadangSchema = Schema<Query, Mutation, Subscription>;

/// Something with an id of its own.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "The id: what it is, an underscore, and which one."
))]
pub enum Node {
    User(User),
    Board(Board),
    Post(Post),
    Comment(Comment),
}

/// Queries about anything with an id.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The thing with this id; null when there is none, or none for the viewer. The rule of the thing's own field holds.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "An id of whatever kind.")] id: ID,
    ) -> Result<Option<Node>> {
        load(ctx, &id, "id").await
    }

    /// The things with these ids, in their order; null where there is none, or none for the viewer. The rules of the
    /// things' own fields hold.
    #[graphql(directive = auth::apply(Access::Anyone))]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 100 ids of whatever kinds.")] ids: Vec<ID>,
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
        UserKind::PREFIX | BoardKind::PREFIX | PostKind::PREFIX | CommentKind::PREFIX => None,
        _ => return Err(Error::invalid(field, Rule::IdType { expected: "node" })),
    })
}

/// The schema, with what runs around each operation.
pub fn build(around: impl ExtensionFactory) -> MadangSchema {
    Schema::build(
        Query::default(),
        Mutation::default(),
        Subscription::default(),
    )
    .register_output_type::<Node>()
    .register_output_type::<ErrorCode>()
    .override_output_type_description::<Connection<User>>("A part of a list of users.")
    .override_output_type_description::<Connection<Board>>("A part of a list of boards.")
    .override_output_type_description::<BoardMemberConnection>(
        "A part of the list of a board's members.",
    )
    .override_output_type_description::<Connection<Post>>("A part of a list of posts.")
    .override_output_type_description::<Connection<Comment>>("A part of a list of comments.")
    // Last: it goes through all types that are there.
    .register_output_type::<AccessSentences>()
    .extension(around)
    .finish()
}

/// The schema in GraphQL's own language.
#[must_use]
pub fn sdl(schema: &MadangSchema) -> String {
    schema.sdl_with_options(
        SDLExportOptions::new()
            .include_specified_by()
            .use_space_ident(),
    )
}
