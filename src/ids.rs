//! Ids: UUIDv7 inside and 16 bytes in the database, TypeIDs outside (`post_01h455vb4pex5vsknk084sn02q`), after the
//! published specification: <https://github.com/jetify-com/typeid/tree/main/spec>.

use std::{cmp::Ordering, fmt, hash, io::Write, marker::PhantomData};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    mysql::Mysql,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Binary,
    sqlite::Sqlite,
};
use uuid::Uuid;

use crate::error::Rule;

/// A type of object with its own ids.
pub trait Kind: 'static {
    /// The part before the underscore.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($kind:ident $id:ident $prefix:literal;)*) => {$(
        #[doc = concat!("Marks ids that begin with `", $prefix, "_`.")]
        #[derive(Debug)]
        pub enum $kind {}
        impl Kind for $kind {
            const PREFIX: &'static str = $prefix;
        }
        #[doc = concat!("An id that begins with `", $prefix, "_`.")]
        pub type $id = Id<$kind>;
    )*};
}

kinds! {
    UserKind UserId "user";
    SignInKind SignInId "signin";
    BoardKind BoardId "board";
    PostKind PostId "post";
    CommentKind CommentId "comment";
    FileKind FileId "file";
    JobKind JobId "job";
    ChatSessionKind ChatSessionId "chatsession";
    ChatKind ChatId "chat";
    AiModelKind AiModelId "aimodel";
    AiLogKind AiLogId "ailog";
    DatasetKind DatasetId "dataset";
}

/// The id of an object of the kind `K`.
#[derive(AsExpression, FromSqlRow)]
#[diesel(sql_type = Binary)]
pub struct Id<K: 'static>(Uuid, PhantomData<fn() -> K>);

impl<K: Kind> Id<K> {
    /// An id with this UUID.
    #[must_use]
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The UUID behind the id.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// Reads a TypeID.
    ///
    /// # Errors
    /// `ID_TYPE` for an id of another kind, and for text that is no id.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        match decode(text) {
            Some((prefix, uuid)) if prefix == K::PREFIX => Ok(Self::from_uuid(uuid)),
            _ => Err(Rule::IdType {
                expected: K::PREFIX,
            }),
        }
    }
}

/// The prefix and the UUID of a TypeID, if `text` is one.
#[must_use]
pub fn decode(text: &str) -> Option<(&str, Uuid)> {
    let (prefix, suffix) = match text.rsplit_once('_') {
        Some(("", _)) => return None,
        Some((prefix, suffix)) => (prefix, suffix),
        None => ("", text),
    };
    let bytes = prefix.as_bytes();
    let well_formed = bytes.len() <= 63
        && bytes.iter().all(|b| b.is_ascii_lowercase() || *b == b'_')
        && bytes.first() != Some(&b'_')
        && bytes.last() != Some(&b'_');
    // 26 characters of 5 bits are 130 bits: the first character has only three bits.
    if !well_formed || suffix.len() != 26 || suffix.as_bytes()[0] > b'7' {
        return None;
    }
    let mut number = 0_u128;
    for character in suffix.bytes() {
        let value = ALPHABET.iter().position(|a| *a == character)?;
        number = number << 5 | value as u128;
    }
    Some((prefix, Uuid::from_u128(number)))
}

/// The TypeID of `uuid` with a well-formed `prefix`. If the prefix is empty, there is no underscore.
#[must_use]
pub fn encode(prefix: &str, uuid: Uuid) -> String {
    let number = uuid.as_u128();
    let mut text = String::with_capacity(prefix.len() + 27);
    text.push_str(prefix);
    if !prefix.is_empty() {
        text.push('_');
    }
    for place in (0..26).rev() {
        text.push(ALPHABET[(number >> (place * 5) & 31) as usize] as char);
    }
    text
}

/// Crockford's base 32, in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode(K::PREFIX, self.0))
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// Written by hand, since derives would require the same traits of `K`.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: Kind> serde::Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> serde::Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let refuse = |_| serde::de::Error::custom(format!("is not the id of a {}", K::PREFIX));
        Self::parse(&text).map_err(refuse)
    }
}

impl<K: Kind> ToSql<Binary, Sqlite> for Id<K> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_bytes().as_slice());
        Ok(IsNull::No)
    }
}

impl<K: Kind> ToSql<Binary, Mysql> for Id<K> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl<K: Kind> FromSql<Binary, Sqlite> for Id<K> {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::from_uuid(Uuid::from_slice(value.read_blob())?))
    }
}

impl<K: Kind> FromSql<Binary, Mysql> for Id<K> {
    fn from_sql(value: <Mysql as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::from_uuid(Uuid::from_slice(value.as_bytes())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Valid {
        name: String,
        typeid: String,
        prefix: String,
        uuid: Uuid,
    }

    #[derive(serde::Deserialize)]
    struct Invalid {
        name: String,
        typeid: String,
    }

    #[test]
    fn the_published_valid_vectors_hold_both_ways() {
        let vectors: Vec<Valid> =
            serde_json::from_str(include_str!("../tests/vectors/typeid-valid.json")).unwrap();
        assert!(vectors.len() >= 9);
        for v in vectors {
            assert_eq!(encode(&v.prefix, v.uuid), v.typeid, "{}", v.name);
            assert_eq!(
                decode(&v.typeid),
                Some((v.prefix.as_str(), v.uuid)),
                "{}",
                v.name
            );
        }
    }

    #[test]
    fn the_published_invalid_vectors_are_refused() {
        let vectors: Vec<Invalid> =
            serde_json::from_str(include_str!("../tests/vectors/typeid-invalid.json")).unwrap();
        assert!(vectors.len() >= 14);
        for v in vectors {
            assert_eq!(decode(&v.typeid), None, "{}", v.name);
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let user = UserId::from_uuid(Uuid::from_u128(7)).to_string();

        assert_eq!(PostId::parse(&user), Err(Rule::IdType { expected: "post" }));
        assert_eq!(UserId::parse(&user).map(Id::uuid), Ok(Uuid::from_u128(7)));
    }
}
