//! What rules about the control plane remember, row by row.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use crate::engine::effects::Effects;
use crate::rules::memory::{Kind, Row};

/// Saves what changed, in the transaction of the step.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    effects: &Effects,
) -> Result<(), sqlx::Error> {
    for row in &effects.control {
        let query = match &row.body {
            Some(body) => sqlx::query(
                "insert into control_state (kind, key, body) values ($1, $2, $3) \
                 on conflict (kind, key) do update set body = excluded.body",
            )
            .bind(row.kind.word())
            .bind(&row.key)
            .bind(body),
            None => sqlx::query("delete from control_state where kind = $1 and key = $2")
                .bind(row.kind.word())
                .bind(&row.key),
        };
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Everything remembered.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<Row>, sqlx::Error> {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let found = sqlx::query("select key, body from control_state where kind = $1 order by key")
            .bind(kind.word())
            .fetch_all(&mut *connection)
            .await?;
        for row in found {
            rows.push(Row { kind, key: row.try_get(0)?, body: Some(row.try_get(1)?) });
        }
    }
    Ok(rows)
}
