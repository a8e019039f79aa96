//! Boards in the schema.

use async_graphql::{
    Context, ID, InputObject, MaybeUndefined, Object, SimpleObject,
    connection::{ConnectionNameType, Edge, EdgeNameType},
};

use super::{
    Board, BoardName, Information,
    store::{self, BoardChanges, BoardList, Members, NewBoard, ReadableBoard},
};
use crate::{
    access::{Access, auth},
    accounts::User,
    clock::Timestamp,
    connection::{Connection, PageArgs, SEARCHING, cost},
    context::{ContextExt, Listed},
    direct::Direct,
    error::{Error, Result},
    input::{self, Violations},
    posts::{
        Post,
        store::{LastPostOfBoard, PostList, PostOrder},
    },
    terms::Search,
};

/// A place to post in.
#[Object]
impl Board {
    /// The board's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// What the board is called, 1 to 128 characters; unique in any case.
    async fn name(&self) -> &str {
        &self.name.text
    }

    /// What the board is for, 1 to 512 characters.
    async fn information(&self) -> &str {
        self.information.as_str()
    }

    /// Whether every reader may enter. If not, only users with a grant and admins can see the board.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_visible(&self) -> Option<bool> {
        Some(self.is_visible)
    }

    /// Whether the board is in service. If not, only admins can see it.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_available(&self) -> Option<bool> {
        Some(self.is_available)
    }

    /// Users with a grant, oldest grant first.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<BoardMemberConnection> {
        let page = PageArgs::new(first, after, last, before);
        let edge = |cursor, (user, granted_at)| {
            Edge::with_additional_fields(cursor, Direct(user), Grant { granted_at })
        };
        ctx.list_with(Members(self.id), page, edge).await
    }

    /// When the board was created.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the board was last edited; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// How many visible posts it has.
    async fn post_count(&self) -> i32 {
        self.post_count
    }

    /// The newest post that the viewer may read.
    async fn last_post(&self, ctx: &Context<'_>) -> Result<Option<Direct<Post>>> {
        Ok(ctx.load::<LastPostOfBoard>(self.id).await?.map(Direct))
    }

    /// Whether the viewer may post here.
    async fn viewer_can_post(&self, ctx: &Context<'_>) -> bool {
        // Only boards that the viewer may enter are shown, and users who may enter may post.
        ctx.actor().signed_in().is_some()
    }

    /// Posts that the viewer may read.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the schema"
    )]
    async fn posts(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Returns posts that contain all of these words. In Korean, Chinese and Japanese, parts of words match too. At most 128 characters; blank returns all posts. Without orderBy, the 500 best matches come, those in the title first.",
            directive = cost::apply(SEARCHING.to_owned())
        )]
        search: Option<String>,
        #[graphql(desc = "The order; newest first by default.")] order_by: Option<PostOrder>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Post>> {
        let search = Violations::check(|v| v.optional("search", search, Search::parse))?;
        let list = PostList {
            board: Some(self.id),
            search: search.flatten(),
            order: order_by,
            ..PostList::default()
        };
        let page = PageArgs::new(first, after, last, before);
        ctx.list(list, page).await
    }
}

/// Users with a grant for a board.
pub type BoardMemberConnection =
    Connection<User, BoardMemberConnectionName, BoardMemberEdgeName, Grant>;

/// The fields of an edge to a member.
#[derive(SimpleObject)]
pub struct Grant {
    /// When the user was let in.
    granted_at: Timestamp,
}

/// Names the type, which has users as nodes but is not `UserConnection`.
pub struct BoardMemberConnectionName;

impl ConnectionNameType for BoardMemberConnectionName {
    fn type_name<T: async_graphql::OutputType>() -> String {
        "BoardMemberConnection".to_owned()
    }
}

/// Names the type, which has users as nodes but is not `UserConnection`.
pub struct BoardMemberEdgeName;

impl EdgeNameType for BoardMemberEdgeName {
    fn type_name<T: async_graphql::OutputType>() -> String {
        "BoardMemberEdge".to_owned()
    }
}

/// Queries about boards.
#[derive(Default)]
pub struct BoardQuery;

#[Object]
impl BoardQuery {
    /// The board with this id.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn board(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The board's id.")] id: ID,
    ) -> Result<Option<Board>> {
        let board = ctx.load::<ReadableBoard>(input::id("id", &id)?).await?;
        board.map(Some).ok_or(Error::NotFound)
    }

    /// The boards that the viewer may enter, by name.
    #[graphql(directive = auth::apply(Access::Reader))]
    async fn boards(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Returns items whose name begins with this, in any case.",
            directive = cost::apply(SEARCHING.to_owned())
        )]
        search: Option<String>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Board>> {
        let page = PageArgs::new(first, after, last, before);
        let list = BoardList::Readable {
            name_prefix: input::search(search)?,
        };
        ctx.list(list, page).await
    }
}

/// The input of `createBoard`.
#[derive(InputObject)]
struct CreateBoardInput {
    /// 1 to 128 characters; unique in any case.
    name: String,
    /// What the board is for, 1 to 512 characters.
    information: String,
    /// Whether every reader may enter. If not, only users with a grant and admins may.
    #[graphql(default = true)]
    is_visible: bool,
    /// Whether the board is in service. If not, only admins can see it.
    #[graphql(default = true)]
    is_available: bool,
    /// Users to grant entry to, at most 100.
    member_ids: Option<Vec<ID>>,
}

/// The result of `createBoard`.
#[derive(SimpleObject)]
struct CreateBoardPayload {
    /// The new board.
    board: Board,
}

/// The input of `updateBoard`. Fields that are left out stay as they are.
#[derive(InputObject)]
struct UpdateBoardInput {
    /// The board to change.
    id: ID,
    /// 1 to 128 characters; unique in any case.
    name: MaybeUndefined<String>,
    /// What the board is for, 1 to 512 characters.
    information: MaybeUndefined<String>,
    /// Whether every reader may enter. If not, only users with a grant and admins may.
    is_visible: MaybeUndefined<bool>,
    /// Whether the board is in service. If not, only admins can see it.
    is_available: MaybeUndefined<bool>,
    /// Users to grant entry to, at most 100.
    add_member_ids: Option<Vec<ID>>,
    /// Users to remove the grant from, at most 100.
    remove_member_ids: Option<Vec<ID>>,
}

/// The result of `updateBoard`.
#[derive(SimpleObject)]
struct UpdateBoardPayload {
    /// The changed board.
    board: Board,
}

/// The input of `deleteBoard`.
#[derive(InputObject)]
struct DeleteBoardInput {
    /// The board to delete.
    id: ID,
}

/// The result of `deleteBoard`.
#[derive(SimpleObject)]
struct DeleteBoardPayload {
    /// The id of the deleted board.
    deleted_board_id: ID,
}

/// Changes of boards.
#[derive(Default)]
pub struct BoardMutation;

#[Object]
impl BoardMutation {
    /// Creates a board.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn create_board(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The board to create.")] input: CreateBoardInput,
    ) -> Result<Option<CreateBoardPayload>> {
        let app = ctx.app();
        let most = app.config.limits.ids;
        let (name, information, members) = Violations::check(|v| {
            (
                v.field("name", BoardName::parse(&input.name)),
                v.field("information", Information::parse(&input.information)),
                Some(v.ids("memberIds", input.member_ids, most)),
            )
        })?;
        let (is_visible, is_available) = (input.is_visible, input.is_available);
        let board = store::insert(
            app,
            &ctx.act(ctx.admin()?),
            NewBoard {
                name,
                information,
                is_visible,
                is_available,
                members,
            },
        )
        .await?;
        Ok(Some(CreateBoardPayload { board }))
    }

    /// Changes a board and who may enter it.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn update_board(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The board and the changes.")] input: UpdateBoardInput,
    ) -> Result<Option<UpdateBoardPayload>> {
        let app = ctx.app();
        let most = app.config.limits.ids;
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let changes = BoardChanges {
                name: v.new_text("name", input.name, BoardName::parse),
                information: v.new_text("information", input.information, Information::parse),
                is_visible: v.change("isVisible", input.is_visible),
                is_available: v.change("isAvailable", input.is_available),
                add_members: v.ids("addMemberIds", input.add_member_ids, most),
                remove_members: v.ids("removeMemberIds", input.remove_member_ids, most),
            };
            (id, Some(changes))
        })?;
        let board = store::update(app, &ctx.act(ctx.admin()?), id, changes).await?;
        Ok(Some(UpdateBoardPayload { board }))
    }

    /// Deletes a board with its posts and their comments.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn delete_board(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The board to delete.")] input: DeleteBoardInput,
    ) -> Result<Option<DeleteBoardPayload>> {
        let id = input::id("id", &input.id)?;
        store::delete(ctx.app(), &ctx.act(ctx.admin()?), id).await?;
        Ok(Some(DeleteBoardPayload {
            deleted_board_id: id.into(),
        }))
    }
}
