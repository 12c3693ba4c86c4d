//! What rules about the control plane remember, row by row, and versions of resources.

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use crate::engine::effects::Effects;
use crate::rules::inventory::VersionRow;
use crate::rules::memory::{Kind, Row, written};

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
    for (resource, version) in &effects.versions {
        let Some(body) = written(version) else { continue };
        sqlx::query(
            "insert into resource_version (resource, since_ms, until_ms, body) values ($1, $2, $3, $4) \
             on conflict (resource, since_ms) do update set \
             until_ms = excluded.until_ms, body = excluded.body",
        )
        .bind(resource)
        .bind(version.since.0)
        .bind(version.until.map(|until| until.0))
        .bind(body)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Versions that hold; one that cannot be read any more is left out.
pub(super) async fn load_versions(
    connection: &mut SqliteConnection,
) -> Result<Vec<VersionRow>, sqlx::Error> {
    let rows = sqlx::query(
        "select resource, body from resource_version where until_ms is null order by 1",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut versions = Vec::new();
    for row in rows {
        let body: String = row.try_get(1)?;
        if let Ok(version) = serde_json::from_str(&body) {
            versions.push((row.try_get(0)?, version));
        }
    }
    Ok(versions)
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
