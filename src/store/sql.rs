//! Building blocks of statements: many rows in one, amounts as columns.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use crate::aggregate::rollup::{AMOUNT_FIELDS, Amount, Split};
use crate::price::spend::{SPEND_FIELDS, Spend};

/// Rows per statement: 500 × 19 columns stay below SQLite's 32,766 variables.
const ROWS_PER_STATEMENT: usize = 500;

/// The columns of a [`Spend`].
pub(super) const SPEND_COLUMNS: &str = "calls, untold, untold_sent, untold_received, \
    attributed_tokens, attributed_nano, tokens_input, nano_input, unpriced_input, \
    provisioned_input, tokens_cached, nano_cached, unpriced_cached, provisioned_cached, \
    tokens_output, nano_output, unpriced_output, provisioned_output";

/// The columns of an [`Amount`].
pub(super) const AMOUNT_COLUMNS: &str =
    "calls, errors, tokens_in, tokens_cached, tokens_out, cost_nano, unpriced, attributed";

/// The columns of a [`Split`], on time first.
pub(super) const SPLIT_COLUMNS: &str = "calls, errors, tokens_in, tokens_cached, tokens_out, \
    cost_nano, unpriced, attributed, late_calls, late_errors, late_tokens_in, late_tokens_cached, \
    late_tokens_out, late_cost_nano, late_unpriced, late_attributed";

/// Adds `rows` of (key columns, split) to `table`; existing rows are summed up.
pub(super) async fn add_splits(
    connection: &mut SqliteConnection,
    table: &'static str,
    keys: &'static str,
    rows: &[(Vec<i64>, Split)],
) -> Result<(), sqlx::Error> {
    let fields = |split: &Split| split.on_time.fields().into_iter().chain(split.late.fields());
    let rows = rows.iter().map(|(key, split)| key.iter().copied().chain(fields(split)).collect());
    add_sums(connection, table, (keys, SPLIT_COLUMNS), &rows.collect::<Vec<_>>()).await
}

/// Adds `rows` of (key columns, spend) to `table`; existing rows are summed up.
pub(super) async fn add_spend(
    connection: &mut SqliteConnection,
    table: &'static str,
    keys: &'static str,
    rows: &[(Vec<i64>, Spend)],
) -> Result<(), sqlx::Error> {
    let rows = rows.iter().map(|(key, spend)| key.iter().copied().chain(spend.fields()).collect());
    add_sums(connection, table, (keys, SPEND_COLUMNS), &rows.collect::<Vec<_>>()).await
}

/// Adds `rows` of integers to `table`; `keys` and `columns` are lists of columns, and the columns of
/// existing rows are summed up.
pub(super) async fn add_sums(
    connection: &mut SqliteConnection,
    table: &'static str,
    (keys, columns): (&'static str, &'static str),
    rows: &[Vec<i64>],
) -> Result<(), sqlx::Error> {
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let mut query: QueryBuilder<Sqlite> =
            QueryBuilder::new(format!("insert into {table} ({keys}, {columns}) "));
        query.push_values(chunk, |mut row, values| {
            for value in values {
                row.push_bind(*value);
            }
        });
        query.push(format!(" on conflict ({keys}) do update set "));
        let sums = columns.split(", ").map(|column| {
            let column = column.trim();
            format!("{column} = {column} + excluded.{column}")
        });
        query.push(sums.collect::<Vec<_>>().join(", "));
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads a split whose columns begin at `first`.
pub(super) fn split_at(row: &SqliteRow, first: usize) -> Result<Split, sqlx::Error> {
    Ok(Split { on_time: amount_at(row, first)?, late: amount_at(row, first + AMOUNT_FIELDS)? })
}

/// Reads a spend whose columns begin at `first`.
pub(super) fn spend_at(row: &SqliteRow, first: usize) -> Result<Spend, sqlx::Error> {
    let mut fields = [0; SPEND_FIELDS];
    for (place, field) in fields.iter_mut().enumerate() {
        *field = row.try_get(first + place)?;
    }
    Ok(Spend::from_fields(fields))
}

/// Reads an amount whose columns begin at `first`.
pub(super) fn amount_at(row: &SqliteRow, first: usize) -> Result<Amount, sqlx::Error> {
    let mut fields = [0; AMOUNT_FIELDS];
    for (place, field) in fields.iter_mut().enumerate() {
        *field = row.try_get(first + place)?;
    }
    Ok(Amount::from_fields(fields))
}

/// `account * 2³² + deployment`.
pub(super) const fn series(account: u32, deployment: u32) -> i64 {
    // Accounts are bounded far below 2³¹, so the sign is never reached.
    ((account as i64) << 32) | deployment as i64
}

/// The inverse of [`series`].
pub(super) fn series_parts(series: i64) -> (u32, u32) {
    let account = u32::try_from(series >> 32).unwrap_or(0);
    (account, u32::try_from(series & 0xFFFF_FFFF).unwrap_or(0))
}
