//! A world of objects that refer to each other, under an interface and a union. Each is a number, and every field a
//! function of it, so that a test can tell the answer without asking.
#![expect(
    clippy::duplicated_attributes,
    reason = "fields of the same type look like that to clippy"
)]

use async_graphql::{EmptyMutation, EmptySubscription, Interface, Object, Schema, Union};

use super::super::Execution;

pub(super) type ZooSchema = Schema<Query, EmptyMutation, EmptySubscription>;

pub(super) fn build() -> ZooSchema {
    Schema::build(Query, EmptyMutation, EmptySubscription)
        .extension(Execution)
        .finish()
}

/// Names of the types by `id % 3`.
pub(super) const KINDS: [&str; 3] = ["Dog", "Cat", "Person"];

pub(super) fn friend(id: i32) -> Option<i32> {
    (id % 5 != 0).then_some((id * 7 + 3) % 23)
}

pub(super) fn friends(id: i32) -> [i32; 2] {
    [(id + 1) % 23, (id * 5 + 2) % 23]
}

/// Another of the same type.
pub(super) fn twin(id: i32) -> i32 {
    (id + 3) % 24
}

macro_rules! kind {
    ($kind:ident, $own:ident) => {
        pub(super) struct $kind(i32);

        #[Object]
        impl $kind {
            async fn id(&self) -> i32 {
                self.0
            }
            async fn size(&self, unit: Option<i32>) -> i32 {
                self.0 * unit.unwrap_or(1)
            }
            async fn friend(&self) -> Option<Being> {
                friend(self.0).map(Being::of)
            }
            async fn friends(&self) -> Vec<Being> {
                friends(self.0).into_iter().map(Being::of).collect()
            }
            async fn any(&self) -> Thing {
                Thing::of(friends(self.0)[1])
            }
            async fn twin(&self) -> $kind {
                $kind(twin(self.0))
            }
            async fn $own(&self) -> i32 {
                self.0 + 100
            }
        }
    };
}

kind!(Dog, barks);
kind!(Cat, meows);
kind!(Person, speaks);

/// What lives.
#[derive(Interface)]
#[graphql(
    field(name = "id", ty = "i32"),
    field(name = "size", ty = "i32", arg(name = "unit", ty = "Option<i32>")),
    field(name = "friend", ty = "Option<Being>"),
    field(name = "friends", ty = "Vec<Being>")
)]
pub(super) enum Being {
    Dog(Dog),
    Cat(Cat),
    Person(Person),
}

impl Being {
    fn of(id: i32) -> Self {
        match id % 3 {
            0 => Self::Dog(Dog(id)),
            1 => Self::Cat(Cat(id)),
            _ => Self::Person(Person(id)),
        }
    }
}

/// A pet.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "i32"))]
pub(super) enum Pet {
    Dog(Dog),
    Cat(Cat),
}

#[derive(Union)]
pub(super) enum Thing {
    Dog(Dog),
    Cat(Cat),
    Person(Person),
}

impl Thing {
    fn of(id: i32) -> Self {
        match id % 3 {
            0 => Self::Dog(Dog(id)),
            1 => Self::Cat(Cat(id)),
            _ => Self::Person(Person(id)),
        }
    }
}

pub(super) struct Query;

#[Object]
impl Query {
    async fn being(&self, id: i32) -> Being {
        Being::of(id)
    }
    async fn thing(&self, id: i32) -> Thing {
        Thing::of(id)
    }
    async fn dog(&self) -> Dog {
        Dog(6)
    }
    async fn pet(&self) -> Pet {
        Pet::Dog(Dog(3))
    }
    async fn beings(&self) -> Vec<Being> {
        (0..4).map(Being::of).collect()
    }
}
