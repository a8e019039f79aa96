//! Any document answers as the specification's CollectFields and ExecuteSelectionSet say, which are written out here once
//! more, on plain data and without a thought for speed.

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::json;

use super::{Bench, raw, zoo};
use crate::{
    access::{Actor, Caller},
    error::{ErrorCode, Language},
};

/// Where a selection stands, or what a fragment is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Query,
    Being,
    Pet,
    Thing,
    /// By its place in [`zoo::KINDS`].
    Object(usize),
}

const ON: [Type; 6] = [
    Type::Being,
    Type::Pet,
    Type::Thing,
    Type::Object(0),
    Type::Object(1),
    Type::Object(2),
];

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Query => "Query",
            Self::Being => "Being",
            Self::Pet => "Pet",
            Self::Thing => "Thing",
            Self::Object(kind) => zoo::KINDS[kind],
        }
    }

    /// Kinds of objects that it can be.
    fn kinds(self) -> &'static [usize] {
        match self {
            Self::Query => &[],
            Self::Being | Self::Thing => &[0, 1, 2],
            Self::Pet => &[0, 1],
            Self::Object(kind) => &[&[0], &[1], &[2]][kind][..],
        }
    }

    fn overlaps(self, other: Self) -> bool {
        self == other || self.kinds().iter().any(|kind| other.kinds().contains(kind))
    }

    /// Its fields, with the type of what they answer with; `None` for a scalar.
    fn fields(self) -> Vec<(&'static str, Option<Type>)> {
        let own = |kind: usize| ["barks", "meows", "speaks"][kind];
        let mut fields = vec![("__typename", None)];
        match self {
            Self::Query => fields.extend([
                ("being", Some(Self::Being)),
                ("thing", Some(Self::Thing)),
                ("dog", Some(Self::Object(0))),
                ("pet", Some(Self::Pet)),
                ("beings", Some(Self::Being)),
            ]),
            Self::Thing => {}
            Self::Pet => fields.push(("id", None)),
            Self::Being | Self::Object(_) => fields.extend([
                ("id", None),
                ("size", None),
                ("friend", Some(Self::Being)),
                ("friends", Some(Self::Being)),
            ]),
        }
        if let Self::Object(kind) = self {
            fields.extend([
                ("any", Some(Self::Thing)),
                ("twin", Some(self)),
                (own(kind), None),
            ]);
        }
        fields
    }
}

/// `@include` or `@skip`, with a constant or the variable of this number.
#[derive(Clone, Copy, Debug)]
struct Condition {
    include: bool,
    value: Result<bool, usize>,
}

#[derive(Clone, Debug)]
enum Selection {
    Field {
        key: String,
        name: &'static str,
        argument: Option<i32>,
        below: Vec<Node>,
    },
    Inline(Option<Type>, Vec<Node>),
    Spread(usize),
}

#[derive(Clone, Debug)]
struct Node(Selection, Option<Condition>);

#[derive(Debug)]
struct Document {
    root: Vec<Node>,
    /// A fragment spreads only later ones.
    fragments: Vec<(Type, Vec<Node>)>,
}

/// Turns arbitrary bytes into choices; when they are used up, into the simplest ones. So proptest can shrink documents.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn of(&mut self, count: usize) -> usize {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                usize::from(*first) % count
            }
            None => 0,
        }
    }

    fn document(&mut self) -> Document {
        let types: Vec<_> = (0..3).map(|_| ON[self.of(ON.len())]).collect();
        let fragments = (0..3)
            .map(|i| (types[i], self.selections(types[i], &types, i + 1, 2)))
            .collect();
        Document {
            root: self.selections(Type::Query, &types, 0, 4),
            fragments,
        }
    }

    /// Of fragments of `types`, those from `later` on may be spread.
    fn selections(&mut self, on: Type, types: &[Type], later: usize, levels: usize) -> Vec<Node> {
        (0..=self.of(4))
            .map(|_| {
                let selection = self.selection(on, types, later, levels);
                Node(selection, self.condition())
            })
            .collect()
    }

    fn condition(&mut self) -> Option<Condition> {
        (self.of(5) == 1).then(|| Condition {
            include: self.of(2) == 0,
            value: match self.of(4) {
                0 => Ok(true),
                1 => Ok(false),
                variable => Err(variable - 2),
            },
        })
    }

    fn selection(&mut self, on: Type, types: &[Type], later: usize, levels: usize) -> Selection {
        let spreadable: Vec<_> = (later..types.len())
            .filter(|i| types[*i].overlaps(on))
            .collect();
        match self.of(6) {
            1 if levels > 0 && on != Type::Query => {
                let conditions: Vec<_> = ON.into_iter().filter(|ty| ty.overlaps(on)).collect();
                let condition = conditions[self.of(conditions.len())];
                Selection::Inline(
                    Some(condition),
                    self.selections(condition, types, later, levels - 1),
                )
            }
            2 if levels > 0 => {
                Selection::Inline(None, self.selections(on, types, later, levels - 1))
            }
            3 if !spreadable.is_empty() => Selection::Spread(spreadable[self.of(spreadable.len())]),
            _ => self.field(on, types, later, levels),
        }
    }

    fn field(&mut self, on: Type, types: &[Type], later: usize, levels: usize) -> Selection {
        let mut fields = on.fields();
        if levels == 0 {
            fields.retain(|(_, below)| below.is_none());
        }
        let (name, below) = fields[self.of(fields.len())];
        let argument = match name {
            "being" | "thing" => Some(self.of(4)),
            "size" => Some(self.of(3)).filter(|unit| *unit > 0),
            _ => None,
        };
        let argument = argument.map(|value| i32::try_from(value).unwrap());
        // Equal keys are always equal fields, so that everything can merge.
        let key = match argument {
            Some(value) => format!("{name}_{value}"),
            None if self.of(4) == 1 => format!("other_{name}"),
            None => name.to_owned(),
        };
        let below = below.map_or_else(Vec::new, |ty| self.selections(ty, types, later, levels - 1));
        Selection::Field {
            key,
            name,
            argument,
            below,
        }
    }
}

impl Document {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut used = vec![false; self.fragments.len()];
        let mut variables = [false; 2];
        self.write(&self.root, &mut text, &mut used, &mut variables);
        for i in 0..self.fragments.len() {
            if used[i] {
                let (on, below) = &self.fragments[i];
                write!(text, " fragment F{i} on {} ", on.name()).unwrap();
                self.write(below, &mut text, &mut used, &mut variables);
            }
        }
        let definitions: String = (0..2)
            .filter(|i| variables[*i])
            .map(|i| format!("$v{i}: Boolean! "))
            .collect();
        if definitions.is_empty() {
            text
        } else {
            format!("query({definitions}) {text}")
        }
    }

    fn write(&self, nodes: &[Node], text: &mut String, used: &mut [bool], variables: &mut [bool]) {
        text.push_str("{ ");
        for Node(selection, condition) in nodes {
            let (head, below) = match selection {
                Selection::Field {
                    key,
                    name,
                    argument,
                    below,
                } => {
                    let alias = if key == name {
                        String::new()
                    } else {
                        format!("{key}: ")
                    };
                    let parameter = if *name == "size" { "unit" } else { "id" };
                    let argument = argument
                        .map_or_else(String::new, |value| format!("({parameter}: {value})"));
                    (format!("{alias}{name}{argument}"), below.as_slice())
                }
                Selection::Inline(None, below) => ("...".to_owned(), below.as_slice()),
                Selection::Inline(Some(on), below) => {
                    (format!("... on {}", on.name()), below.as_slice())
                }
                Selection::Spread(fragment) => {
                    used[*fragment] = true;
                    (format!("...F{fragment}"), &[][..])
                }
            };
            text.push_str(&head);
            if let Some(Condition { include, value }) = condition {
                let name = if *include { "include" } else { "skip" };
                let value = match value {
                    Ok(constant) => constant.to_string(),
                    Err(variable) => {
                        variables[*variable] = true;
                        format!("$v{variable}")
                    }
                };
                write!(text, " @{name}(if: {value})").unwrap();
            }
            text.push(' ');
            if !below.is_empty() {
                self.write(below, text, used, variables);
            }
        }
        text.push_str("} ");
    }
}

/// The answer, told from the data alone.
struct Reference<'a> {
    document: &'a Document,
    variables: [bool; 2],
}

/// The occurrences of one response key.
struct Group<'a> {
    key: &'a str,
    name: &'static str,
    argument: Option<i32>,
    below: Vec<&'a [Node]>,
}

impl<'a> Reference<'a> {
    /// `id` is `None` for the root.
    fn collect(&self, nodes: &'a [Node], id: Option<i32>, groups: &mut Vec<Group<'a>>) {
        for Node(selection, condition) in nodes {
            let counts = condition.is_none_or(|condition| {
                let truth = condition.value.unwrap_or_else(|i| self.variables[i]);
                truth == condition.include
            });
            if !counts {
                continue;
            }
            let (on, below) = match selection {
                Selection::Field {
                    key,
                    name,
                    argument,
                    below,
                } => {
                    match groups.iter_mut().find(|group| group.key == key) {
                        Some(group) => group.below.push(below),
                        None => groups.push(Group {
                            key,
                            name,
                            argument: *argument,
                            below: vec![below],
                        }),
                    }
                    continue;
                }
                Selection::Inline(on, below) => (*on, below),
                Selection::Spread(fragment) => {
                    let (on, below) = &self.document.fragments[*fragment];
                    (Some(*on), below)
                }
            };
            let applies = match (on, id) {
                (None, _) | (Some(Type::Query), None) => true,
                (Some(on), Some(id)) => on.kinds().contains(&kind(id)),
                (Some(_), None) => false,
            };
            if applies {
                self.collect(below, id, groups);
            }
        }
    }

    fn object(&self, sets: &[&'a [Node]], id: Option<i32>) -> String {
        let mut groups = Vec::new();
        for set in sets {
            self.collect(set, id, &mut groups);
        }
        let fields: Vec<_> = groups
            .iter()
            .map(|group| format!("\"{}\":{}", group.key, self.field(group, id)))
            .collect();
        format!("{{{}}}", fields.join(","))
    }

    fn field(&self, group: &Group<'a>, id: Option<i32>) -> String {
        let object = |id| self.object(&group.below, Some(id));
        let list = |ids: &[i32]| {
            let items: Vec<_> = ids.iter().map(|id| object(*id)).collect();
            format!("[{}]", items.join(","))
        };
        let argument = group.argument;
        match (group.name, id) {
            ("__typename", None) => "\"Query\"".to_owned(),
            ("being" | "thing", None) => object(argument.expect("an id")),
            ("dog", None) => object(6),
            ("pet", None) => object(3),
            ("beings", None) => list(&[0, 1, 2, 3]),
            ("__typename", Some(id)) => format!("\"{}\"", zoo::KINDS[kind(id)]),
            ("id", Some(id)) => id.to_string(),
            ("size", Some(id)) => (id * argument.unwrap_or(1)).to_string(),
            ("friend", Some(id)) => zoo::friend(id).map_or("null".to_owned(), object),
            ("friends", Some(id)) => list(&zoo::friends(id)),
            ("any", Some(id)) => object(zoo::friends(id)[1]),
            ("twin", Some(id)) => object(zoo::twin(id)),
            ("barks" | "meows" | "speaks", Some(id)) => (id + 100).to_string(),
            other => panic!("{other:?}"),
        }
    }
}

fn kind(id: i32) -> usize {
    usize::try_from(id % 3).unwrap()
}

/// Words that documents on the test schema are made of, those that open something more often.
fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "{",
        "{",
        "{",
        "}",
        "}",
        "}",
        "query",
        "mutation",
        "subscription",
        "fragment F on Item {",
        "fragment G on Query {",
        "... on Item {",
        "... on Numbered {",
        "... {",
        "...F",
        "...G",
        "...H",
        "item {",
        "items {",
        "page(first: $a) {",
        "nodes(ids: [1, $a]) {",
        "numbered {",
        "number",
        "secret",
        "ok",
        "a:",
        "n: number",
        "__typename",
        "__schema {",
        "types {",
        "name",
        "draw(pen: {colour: RED, width: $a})",
        "echo(int: $a)",
        "echo(ints: [$a, \"1\"])",
        "($a: Int)",
        "($a: [Int!]! = 1)",
        "$a",
        "@skip(if: true)",
        "@include(if: $a)",
        "@deprecated",
        "\"",
        "\"\"\"",
        "#",
        "[",
        "]",
        "(",
        ")",
        "!",
        "é",
        "-1",
        "1.5e3",
        "null",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Nothing that a client can send makes the pipeline panic.
    #[test]
    fn any_heap_of_words_is_answered(words in proptest::collection::vec(word(), 0..60)) {
        let bench = Bench::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let prepared = runtime.block_on(bench.prepare(&words.join(" "), json!({"a": 1})));
        if let Err(errors) = prepared {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.iter().all(|e| e.code() != ErrorCode::Internal), "{errors:?}");
        }
    }

    #[test]
    fn any_document_answers_as_the_specification_says(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        variables in any::<[bool; 2]>(),
    ) {
        let document = Choices(&bytes).document();
        let text = document.text();
        let bench = Bench::zoo().limit(|limits| {
            limits.aliases = 100_000;
            limits.directives = 100_000;
            limits.complexity = u64::MAX;
        });
        let request = raw(&text, json!({"v0": variables[0], "v1": variables[1]}));
        let caller = Caller::new(super::client(Language::En), Actor::Anonymous);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let answer = runtime.block_on(async {
            let engine = bench.engine();
            let prepared = engine.prepare(request).await?;
            Ok(engine.execute(prepared, caller).await)
        });
        let answer = match answer {
            // A document may grow too large; there is nothing to compare then.
            Err(errors) => {
                let errors: Vec<crate::error::Error> = errors;
                prop_assert!(errors.iter().all(|e| e.code() == ErrorCode::LimitExceeded), "{text}: {errors:?}");
                return Err(TestCaseError::reject("too large"));
            }
            Ok(answer) => answer,
        };

        let expected = Reference { document: &document, variables }.object(&[&document.root], None);

        prop_assert!(answer.errors.is_empty(), "{text}: {:?}", answer.errors);
        prop_assert_eq!(serde_json::to_string(&answer.data).expect("JSON"), expected, "{}", text);
    }
}
