//! SQL for lists that diesel cannot express: comparing two columns with a key, counting up to a bound, and running many
//! short queries in one statement.

use std::time::Duration;

use diesel::{
    QueryResult, RunQueryDsl,
    backend::Backend,
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    mysql::Mysql,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    query_dsl::methods::LoadQuery,
    serialize::ToSql,
    sql_types::{BigInt, Binary, Bool, HasSqlType},
    sqlite::Sqlite,
};

use crate::ids::{Id, Kind};

/// Whether `(column, id)` lies on one side of a key.
#[derive(Clone, Copy, Debug)]
pub struct Beyond<C, V, I, K> {
    column: C,
    value: V,
    id: I,
    key: K,
    sign: &'static str,
}

/// `(column, id) > (value, key)`, written so that both engines can use an index.
pub fn above<C, V, I, K>((column, id): (C, I), (value, key): (V, K)) -> Beyond<C, V, I, K> {
    Beyond {
        column,
        value,
        id,
        key,
        sign: " > ",
    }
}

/// `(column, id) < (value, key)`, as [`above`].
pub fn below<C, V, I, K>(columns: (C, I), place: (V, K)) -> Beyond<C, V, I, K> {
    Beyond {
        sign: " < ",
        ..above(columns, place)
    }
}

impl<C, V, I, K> Expression for Beyond<C, V, I, K> {
    type SqlType = Bool;
}

impl<C, V, I, K, T> AppearsOnTable<T> for Beyond<C, V, I, K>
where
    C: AppearsOnTable<T>,
    V: AppearsOnTable<T>,
    I: AppearsOnTable<T>,
    K: AppearsOnTable<T>,
{
}

impl<C, V, I, K, T> SelectableExpression<T> for Beyond<C, V, I, K> where Self: AppearsOnTable<T> {}

impl<C, V, I, K> ValidGrouping<()> for Beyond<C, V, I, K> {
    type IsAggregate = is_aggregate::No;
}

impl<C, V, I, K> QueryId for Beyond<C, V, I, K> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C, V, I, K> QueryFragment<Sqlite> for Beyond<C, V, I, K>
where
    C: QueryFragment<Sqlite>,
    V: QueryFragment<Sqlite>,
    I: QueryFragment<Sqlite>,
    K: QueryFragment<Sqlite>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.id.walk_ast(out.reborrow())?;
        out.push_sql(")");
        out.push_sql(self.sign);
        out.push_sql("(");
        self.value.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        self.key.walk_ast(out.reborrow())?;
        out.push_sql(")");
        Ok(())
    }
}

/// For a comparison of rows MySQL and MariaDB scan the whole index. For this they use two ranges.
impl<C, V, I, K> QueryFragment<Mysql> for Beyond<C, V, I, K>
where
    C: QueryFragment<Mysql>,
    V: QueryFragment<Mysql>,
    I: QueryFragment<Mysql>,
    K: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("(");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(self.sign);
        self.value.walk_ast(out.reborrow())?;
        out.push_sql(" OR (");
        self.column.walk_ast(out.reborrow())?;
        out.push_sql(" = ");
        self.value.walk_ast(out.reborrow())?;
        out.push_sql(" AND ");
        self.id.walk_ast(out.reborrow())?;
        out.push_sql(self.sign);
        self.key.walk_ast(out.reborrow())?;
        out.push_sql("))");
        Ok(())
    }
}

/// Whether `column` is one of several ids. See [`among`].
#[derive(Clone, Debug)]
pub struct Among<C, K: Kind> {
    column: C,
    ids: Vec<Id<K>>,
}

/// `column IN (…)`. The last id is repeated up to the next power of two, so that a few prepared statements serve all
/// numbers of ids: preparing takes as long as running.
pub fn among<C, K: Kind>(column: C, ids: impl IntoIterator<Item = Id<K>>) -> Among<C, K> {
    let mut ids: Vec<_> = ids.into_iter().collect();
    if let Some(last) = ids.last().copied() {
        ids.resize(ids.len().next_power_of_two(), last);
    }
    Among { column, ids }
}

impl<C, K: Kind> Expression for Among<C, K> {
    type SqlType = Bool;
}

impl<C: AppearsOnTable<T>, K: Kind, T> AppearsOnTable<T> for Among<C, K> {}

impl<C: AppearsOnTable<T>, K: Kind, T> SelectableExpression<T> for Among<C, K> {}

impl<C, K: Kind> ValidGrouping<()> for Among<C, K> {
    type IsAggregate = is_aggregate::No;
}

impl<C, K: Kind> QueryId for Among<C, K> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C, K, DB> QueryFragment<DB> for Among<C, K>
where
    C: QueryFragment<DB>,
    K: Kind,
    DB: Backend + HasSqlType<Binary>,
    Id<K>: ToSql<Binary, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if self.ids.is_empty() {
            out.push_sql("0 = 1");
            return Ok(());
        }
        self.column.walk_ast(out.reborrow())?;
        for (n, id) in self.ids.iter().enumerate() {
            out.push_sql(if n == 0 { " IN (" } else { ", " });
            out.push_bind_param::<Binary, _>(id)?;
        }
        out.push_sql(")");
        Ok(())
    }
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// The first of two values that is not null. Of a column and itself it is that column in a form that no index serves.
    fn coalesce(value: Binary, other: Binary) -> Binary;

    /// The greatest id of a group.
    #[aggregate]
    #[sql_name = "max"]
    fn greatest(id: Binary) -> Nullable<Binary>;
}

/// The number of rows of a query, which reads no more than the query's limit.
#[derive(Clone, Copy, Debug)]
pub struct CountOf<Q>(pub Q);

impl<Q> Query for CountOf<Q> {
    type SqlType = BigInt;
}

impl<Q, C> RunQueryDsl<C> for CountOf<Q> {}

impl<Q> QueryId for CountOf<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for CountOf<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS counted");
        Ok(())
    }
}

/// Queries of the same shape in one statement. Each row begins with the index of its query.
#[derive(Clone, Debug)]
pub struct Together<Q> {
    queries: Vec<Q>,
    /// Whether these are the parts of one list.
    is_of_one: bool,
    /// How long MySQL and MariaDB may take for it.
    limit: Option<Duration>,
}

impl<Q: Query> Query for Together<Q> {
    type SqlType = (BigInt, Q::SqlType);
}

impl<Q, C> RunQueryDsl<C> for Together<Q> {}

impl<Q> QueryId for Together<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<DB>, DB: Backend> QueryFragment<DB> for Together<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if self.queries.len() > 1 && !self.is_of_one {
            // Clients choose the lists that stand together: there are too many combinations to keep prepared.
            out.unsafe_to_cache_prepared();
        }
        if let Some(limit) = self.limit {
            // The first comment is a statement to MariaDB alone, the second one a hint to MySQL.
            let (seconds, millis) = (limit.as_secs_f64(), limit.as_millis());
            out.push_sql(&format!(
                "/*M! SET STATEMENT max_statement_time = {seconds} FOR */ \
                 SELECT /*+ MAX_EXECUTION_TIME({millis}) */ "
            ));
        } else {
            out.push_sql("SELECT ");
        }
        for (n, query) in self.queries.iter().enumerate() {
            if n > 0 {
                out.push_sql(" UNION ALL SELECT ");
            }
            out.push_sql(&n.to_string());
            out.push_sql(", part.* FROM (");
            query.walk_ast(out.reborrow())?;
            out.push_sql(") AS part");
        }
        Ok(())
    }
}

/// The most queries in one statement. SQLite allows 500.
const TOGETHER: usize = 400;

/// The rows of each query, in the order of the queries, loaded with one statement. Only the rows of a single query come
/// in that query's order.
///
/// # Errors
/// Those of the database.
pub fn load_each<'q, Q, C, T>(conn: &mut C, queries: Vec<Q>) -> QueryResult<Vec<Vec<T>>>
where
    Q: RunQueryDsl<C> + LoadQuery<'q, C, T>,
    Together<Q>: LoadQuery<'q, C, (i64, T)>,
{
    load_together(None, false, conn, queries)
}

/// As [`load_each`], where all queries may be parts of one list. With a limit, MySQL and MariaDB stop a statement that
/// takes longer.
fn load_together<'q, Q, C, T>(
    limit: Option<Duration>,
    is_of_one: bool,
    conn: &mut C,
    mut queries: Vec<Q>,
) -> QueryResult<Vec<Vec<T>>>
where
    Q: RunQueryDsl<C> + LoadQuery<'q, C, T>,
    Together<Q>: LoadQuery<'q, C, (i64, T)>,
{
    if queries.len() == 1 && limit.is_none() {
        return queries.into_iter().map(|query| query.load(conn)).collect();
    }
    let mut found = Vec::with_capacity(queries.len());
    while !queries.is_empty() {
        let rest = queries.split_off(queries.len().min(TOGETHER));
        let queries = std::mem::replace(&mut queries, rest);
        let first = found.len();
        found.resize_with(first + queries.len(), Vec::new);
        let together = Together {
            queries,
            is_of_one,
            limit,
        };
        for (n, row) in together.load(conn)? {
            let place = usize::try_from(n).unwrap_or_default();
            found[first + place].push(row);
        }
    }
    Ok(found)
}

/// The number of rows of each query, in the order of the queries. See [`CountOf`].
///
/// # Errors
/// Those of the database.
pub fn count_each<'q, Q, C>(conn: &mut C, queries: Vec<Q>) -> QueryResult<Vec<i64>>
where
    CountOf<Q>: RunQueryDsl<C> + LoadQuery<'q, C, i64>,
    Together<CountOf<Q>>: LoadQuery<'q, C, (i64, i64)>,
{
    let counted = load_each(conn, queries.into_iter().map(CountOf).collect())?;
    Ok(counted.into_iter().flatten().collect())
}

/// The rows of lists that are read in parts, as [`load_each`]. With a limit, MySQL and MariaDB stop a statement that takes
/// longer.
///
/// # Errors
/// Those of the database.
pub fn load_parts<'q, Q, C, T>(
    limit: Option<Duration>,
    conn: &mut C,
    lists: Vec<Vec<Q>>,
) -> QueryResult<Vec<Vec<T>>>
where
    Q: RunQueryDsl<C> + LoadQuery<'q, C, T>,
    Together<Q>: LoadQuery<'q, C, (i64, T)>,
{
    let parts: Vec<usize> = lists.iter().map(Vec::len).collect();
    let queries = lists.into_iter().flatten().collect();
    let mut found = load_together(limit, parts.len() == 1, conn, queries)?.into_iter();
    let of_list = |parts| found.by_ref().take(parts).flatten().collect();
    Ok(parts.into_iter().map(of_list).collect())
}

/// The number of rows of lists that are read in parts. Each part counts up to its query's limit.
///
/// # Errors
/// Those of the database.
pub fn count_parts<'q, Q, C>(conn: &mut C, lists: Vec<Vec<Q>>) -> QueryResult<Vec<i64>>
where
    CountOf<Q>: RunQueryDsl<C> + LoadQuery<'q, C, i64>,
    Together<CountOf<Q>>: LoadQuery<'q, C, (i64, i64)>,
{
    let counts = |parts: Vec<Q>| parts.into_iter().map(CountOf).collect();
    let counted = load_parts(None, conn, lists.into_iter().map(counts).collect())?;
    Ok(counted.iter().map(|parts| parts.iter().sum()).collect())
}

/// Restricts the boxed `$query` to `$page`, for a list that is ordered by the unique column `$column`.
#[macro_export]
macro_rules! keyset {
    ($query:expr, $page:expr, $direction:expr, $column:expr) => {{
        let (page, direction): (_, $crate::connection::Direction) = (&$page, $direction);
        let (above, below) = page.bounds(direction);
        let mut query = $query.limit(page.fetch());
        if let Some(key) = above {
            query = query.filter($column.gt(key));
        }
        if let Some(key) = below {
            query = query.filter($column.lt(key));
        }
        match direction.read(page.backwards) {
            $crate::connection::Direction::Asc => query.order($column.asc()),
            $crate::connection::Direction::Desc => query.order($column.desc()),
        }
    }};
}
pub use keyset;

/// As [`keyset`], for a list that is ordered by a number or time and, among equal values, by an id.
#[macro_export]
macro_rules! keyset_of_two {
    ($query:expr, $page:expr, $direction:expr, ($column:expr, $id:expr)) => {{
        use diesel::{
            IntoSql,
            sql_types::{BigInt, Binary},
        };
        let (page, direction): (_, $crate::connection::Direction) = (&$page, $direction);
        let (above, below) = page.bounds(direction);
        let mut query = $query.limit(page.fetch());
        if let Some((value, id)) = above {
            let place = (value.into_sql::<BigInt>(), id.into_sql::<Binary>());
            query = query.filter($crate::db::lists::above(($column, $id), place));
        }
        if let Some((value, id)) = below {
            let place = (value.into_sql::<BigInt>(), id.into_sql::<Binary>());
            query = query.filter($crate::db::lists::below(($column, $id), place));
        }
        match direction.read(page.backwards) {
            $crate::connection::Direction::Asc => query.order(($column.asc(), $id.asc())),
            $crate::connection::Direction::Desc => query.order(($column.desc(), $id.desc())),
        }
    }};
}
pub use keyset_of_two;

#[cfg(test)]
mod tests {
    use diesel::{ExpressionMethods, QueryDsl};
    use uuid::Uuid;

    use super::*;
    use crate::{db::tables::posts, ids::PostId};

    #[test]
    fn clients_do_not_choose_what_is_kept_prepared() {
        let is_nil = || coalesce(posts::id, posts::id).eq(PostId::from_uuid(Uuid::nil()));
        let is_kept = |queries, is_of_one| {
            let together = Together {
                queries: vec![posts::table.filter(is_nil()).select(greatest(posts::id)); queries],
                is_of_one,
                limit: None,
            };
            QueryFragment::<Sqlite>::is_safe_to_cache_prepared(&together, &Sqlite).unwrap()
        };

        assert!(is_kept(2, true), "one list in two parts");
        assert!(!is_kept(2, false), "two lists");
        assert!(is_kept(1, false));
    }
}
