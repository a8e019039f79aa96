//! Fields that fail in every way.
#![expect(
    clippy::too_many_arguments,
    reason = "one field takes an argument of each type"
)]

use std::time::Duration;

use async_graphql::{
    Context, Enum, Guard, InputObject, InputValueError, InputValueResult, Interface, Json,
    MaybeUndefined, Object, OneofObject, Scalar, ScalarType, Schema, SimpleObject, Subscription,
    TypeDirective, Upload, Value,
};
use futures_util::{Stream, stream};

use super::{super::Execution, Journal};
use crate::{
    access::{Access, auth},
    connection::cost,
    direct::{Direct, DirectList},
    error::{Error, Rule},
};

pub(super) type TestSchema = Schema<Query, Mutation, Feed>;

pub(super) fn build() -> TestSchema {
    Schema::build(Query, Mutation, Feed)
        .extension(Execution)
        .finish()
}

/// Lets nobody pass.
struct Nobody(Error);

impl Guard for Nobody {
    async fn check(&self, _ctx: &Context<'_>) -> async_graphql::Result<()> {
        Err(self.0.clone().into())
    }
}

pub(super) struct Item {
    pub number: i32,
}

#[Object]
impl Item {
    async fn number(&self) -> i32 {
        self.number
    }

    /// Fails on odd items.
    async fn even(&self) -> Result<Option<i32>, Error> {
        if self.number % 2 == 0 {
            Ok(Some(self.number))
        } else {
            Err(Error::NotFound)
        }
    }

    /// Fails on odd items, and takes the item with it.
    async fn strictly_even(&self) -> Result<i32, Error> {
        if self.number % 2 == 0 {
            Ok(self.number)
        } else {
            Err(Error::NotFound)
        }
    }

    #[graphql(guard = "Nobody(Error::Withheld)")]
    async fn secret(&self) -> Option<String> {
        Some("secret".to_owned())
    }

    #[graphql(guard = "Nobody(Error::Forbidden)")]
    async fn guarded(&self) -> Option<String> {
        Some("guarded".to_owned())
    }

    async fn withheld(&self) -> Result<Option<i32>, Error> {
        Err(Error::Withheld)
    }

    #[graphql(directive = auth::apply(Access::Admin))]
    async fn for_admins(&self) -> Option<i32> {
        Some(self.number)
    }

    /// Lacks the guard that asks who the owner is.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn for_its_owner(&self) -> Option<i32> {
        Some(self.number)
    }

    async fn child(&self) -> Option<Item> {
        Some(Item {
            number: self.number + 1,
        })
    }

    async fn items(&self) -> Vec<Item> {
        items()
    }

    /// Panics on odd items.
    async fn explodes(&self) -> Option<i32> {
        assert!(self.number % 2 == 0, "an odd item");
        Some(self.number)
    }

    #[graphql(directive = cost::apply("30".to_owned()))]
    async fn counted(
        &self,
        #[graphql(directive = cost::apply("5".to_owned()))] word: Option<String>,
    ) -> i32 {
        word.map_or(1, |_| 2)
    }

    async fn slow(&self) -> i32 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.number
    }

    /// Ready in the second round.
    async fn later(&self) -> i32 {
        tokio::task::yield_now().await;
        self.number
    }
}

/// Items that the library resolves, or those that we do.
pub(super) struct Shelf<const DIRECT: bool>(Vec<Item>);

#[Object(name = "Plain")]
impl Shelf<false> {
    async fn item(&self) -> Option<&Item> {
        self.0.last()
    }

    async fn strictly(&self) -> &Item {
        &self.0[1]
    }

    async fn items(&self) -> &[Item] {
        &self.0
    }
}

#[Object(name = "Quick")]
impl Shelf<true> {
    async fn item(&self) -> Option<Direct<Item>> {
        Some(Direct(Item { number: 2 }))
    }

    async fn strictly(&self) -> Direct<Item> {
        Direct(Item { number: 1 })
    }

    async fn items(&self) -> DirectList<'_, Item> {
        DirectList(self.0.iter().collect())
    }
}

/// How long a list can be.
#[TypeDirective(name = "listSize", location = "FieldDefinition")]
fn list_size(assumed_size: i32) {}

/// A scalar that only its parser can judge.
pub(super) struct Even(i32);

#[Scalar]
impl ScalarType for Even {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::Number(n) => match n.as_i64().and_then(|n| i32::try_from(n).ok()) {
                Some(n) if n % 2 == 0 => Ok(Self(n)),
                _ => Err(InputValueError::custom("not even")),
            },
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        self.0.into()
    }
}

/// What has a number.
#[derive(Interface)]
#[graphql(
    field(name = "number", ty = "i32"),
    field(name = "secret", ty = "Option<String>")
)]
pub(super) enum Numbered {
    Item(Item),
}

fn items() -> Vec<Item> {
    (0..3).map(|number| Item { number }).collect()
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum Colour {
    Red,
    Green,
}

#[derive(InputObject)]
pub(super) struct Pen {
    pub colour: Colour,
    pub width: Option<i32>,
    #[graphql(default = 7)]
    pub length: i32,
    pub tags: Option<Vec<String>>,
    pub spare: Option<Box<Pen>>,
}

#[derive(InputObject)]
pub(super) struct Change {
    pub name: MaybeUndefined<String>,
}

#[derive(OneofObject)]
pub(super) enum Choice {
    Id(i32),
    Name(String),
}

#[derive(SimpleObject)]
pub(super) struct PageInfo {
    has_next_page: bool,
}

#[derive(SimpleObject)]
pub(super) struct ItemEdge {
    cursor: String,
    node: Item,
}

#[derive(SimpleObject)]
pub(super) struct ItemConnection {
    edges: Vec<ItemEdge>,
    nodes: Vec<Item>,
    page_info: PageInfo,
}

pub(super) struct Query;

#[Object]
impl Query {
    async fn ok(&self) -> i32 {
        1
    }

    async fn item(&self) -> Option<Item> {
        Some(Item { number: 1 })
    }

    async fn items(&self) -> Vec<Item> {
        items()
    }

    async fn maybe_items(&self) -> Vec<Option<Item>> {
        items().into_iter().map(Some).collect()
    }

    #[graphql(directive = list_size::apply(3))]
    async fn few_items(&self) -> Vec<Item> {
        items()
    }

    async fn plain(&self) -> Option<Shelf<false>> {
        Some(Shelf(items()))
    }

    async fn quick(&self) -> Option<Direct<Shelf<true>>> {
        Some(Direct(Shelf(items())))
    }

    async fn half(&self, of: Even) -> Option<i32> {
        Some(of.0 / 2)
    }

    async fn maybe_list(&self) -> Option<Vec<Item>> {
        Some(items())
    }

    async fn nested(&self) -> Vec<Option<Vec<Item>>> {
        vec![Some(items()), None]
    }

    async fn numbered(&self) -> Numbered {
        Numbered::Item(Item { number: 4 })
    }

    async fn fails(&self) -> Result<Option<i32>, Error> {
        Err(Error::invalid("title", Rule::TooLong { max: 3 }))
    }

    async fn strictly_fails(&self) -> Result<i32, Error> {
        Err(Error::NotFound)
    }

    async fn broken(&self) -> Result<Option<i32>, Error> {
        Err(Error::internal("the password is hunter2"))
    }

    async fn foreign(&self) -> async_graphql::Result<Option<i32>> {
        Err(std::io::Error::other("the password is hunter2").into())
    }

    async fn panics(&self, yes: Option<bool>) -> Option<i32> {
        assert!(yes == Some(false), "the password is hunter2");
        None
    }

    async fn not_a_number(&self) -> f64 {
        f64::NAN
    }

    async fn sleeps(&self) -> Option<i32> {
        tokio::time::sleep(Duration::from_secs(60)).await;
        None
    }

    #[graphql(guard = "Nobody(Error::Unauthenticated)")]
    async fn guarded(&self) -> Option<i32> {
        Some(1)
    }

    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn for_users(&self) -> Option<i32> {
        Some(1)
    }

    async fn echo(
        &self,
        int: Option<i32>,
        float: Option<f64>,
        id: Option<async_graphql::ID>,
        colour: Option<Colour>,
        ints: Option<Vec<i32>>,
        #[graphql(default = 3)] fallback: i32,
    ) -> String {
        let id = id.map(|id| id.to_string());
        let colour = colour.map(|colour| match colour {
            Colour::Red => "red",
            Colour::Green => "green",
        });
        format!("{int:?} {float:?} {id:?} {colour:?} {ints:?} {fallback}")
    }

    async fn draw(&self, pen: Pen) -> String {
        let red = pen.colour == Colour::Red;
        let spare = pen.spare.map(|pen| pen.length);
        format!(
            "{red} {:?} {} {:?} {spare:?}",
            pen.width, pen.length, pen.tags
        )
    }

    async fn change(&self, input: Change) -> &'static str {
        match input.name {
            MaybeUndefined::Undefined => "undefined",
            MaybeUndefined::Null => "null",
            MaybeUndefined::Value(_) => "value",
        }
    }

    async fn choose(&self, by: Choice) -> String {
        match by {
            Choice::Id(id) => id.to_string(),
            Choice::Name(name) => name,
        }
    }

    async fn free(&self, json: Option<Json<serde_json::Value>>) -> String {
        json.map(|json| json.0.to_string()).unwrap_or_default()
    }

    async fn nodes(&self, ids: Vec<async_graphql::ID>) -> Vec<Option<Numbered>> {
        ids.iter().map(|_| None).collect()
    }

    async fn page(&self, first: Option<i32>, last: Option<i32>) -> Result<ItemConnection, Error> {
        if [first, last]
            .iter()
            .flatten()
            .any(|n| !(1..=100).contains(n))
        {
            return Err(Error::invalid(
                "first",
                Rule::OutOfRange { min: 1, max: 100 },
            ));
        }
        Ok(ItemConnection {
            edges: vec![ItemEdge {
                cursor: "0".to_owned(),
                node: Item { number: 0 },
            }],
            nodes: items(),
            page_info: PageInfo {
                has_next_page: false,
            },
        })
    }
}

pub(super) struct Mutation;

#[Object]
impl Mutation {
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn for_admins(&self, ctx: &Context<'_>) -> Option<i32> {
        let journal = ctx.data_unchecked::<Journal>();
        journal.lock().push("for admins".to_owned());
        Some(1)
    }

    async fn note(&self, ctx: &Context<'_>, name: String) -> Result<Option<String>, Error> {
        ctx.data_unchecked::<Journal>().lock().push(name.clone());
        tokio::task::yield_now().await;
        if name == "bad" {
            return Err(Error::conflict("name", Rule::Taken));
        }
        Ok(Some(name))
    }

    async fn ok(&self, ctx: &Context<'_>) -> Option<Item> {
        let journal = ctx.data_unchecked::<Journal>();
        journal.lock().push("ok".to_owned());
        Some(Item { number: 2 })
    }

    async fn store(&self, _ctx: &Context<'_>, file: Option<Upload>) -> Option<bool> {
        file.map(|_| true)
    }
}

pub(super) struct Feed;

#[Subscription]
impl Feed {
    async fn numbers(&self, upto: i32) -> Result<impl Stream<Item = Item> + use<>, Error> {
        if upto < 0 {
            return Err(Error::ResyncRequired);
        }
        Ok(stream::iter((0..upto).map(|number| Item { number })))
    }

    async fn maybe(&self) -> impl Stream<Item = Result<Option<Item>, Error>> + use<> {
        stream::iter([Ok(Some(Item { number: 0 })), Err(Error::NotFound)])
    }

    #[graphql(guard = "Nobody(Error::Unauthenticated)")]
    async fn guarded(&self) -> impl Stream<Item = i32> + use<> {
        stream::iter([1])
    }

    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn for_users(&self, ctx: &Context<'_>) -> impl Stream<Item = i32> + use<> {
        let journal = ctx.data_unchecked::<Journal>();
        journal.lock().push("subscribed".to_owned());
        stream::iter([1])
    }

    async fn panics(&self) -> impl Stream<Item = i32> + use<> {
        stream::iter(0..3).map_while_panicking()
    }
}

trait Panicking: Stream<Item = i32> + Sized {
    fn map_while_panicking(self) -> impl Stream<Item = i32> {
        futures_util::StreamExt::map(self, |number| {
            assert!(number < 1, "the password is hunter2");
            number
        })
    }
}

impl<S: Stream<Item = i32>> Panicking for S {}
