//! Sinks: where sales are forwarded to. Each change is put down to who made it and counted in
//! `sinks_epoch`, in one transaction, so that every worker sees it with one small read.

use super::{
    Store, StoreError,
    cells::Cells,
    changes::Subject,
    dialect::Sql,
    directory::found,
    driver::Tx,
    pieces::{fits, fits_word},
    values::{Binds, page},
};
use crate::domain::{
    sink::{Change, LONGEST_CA, LONGEST_ENDPOINT, LONGEST_NAME, Settings, Sink},
    time::Timestamp,
};

/// Widths of columns.
const ENVIRONMENT: usize = 12;
const TOKEN: usize = 1500;
const SIGNING: usize = 1500;
const SCHEMA_VERSION: usize = 8;

/// Sinks in one page where all are read.
const ALL_PAGE: usize = 500;

/// A sink to be made.
#[derive(Clone, Debug)]
pub struct NewSink {
    /// Its name, for good.
    pub name: String,
    /// The tenant whose sales it takes; `None`: of every tenant without a sink of its own.
    pub tenant_id: Option<i64>,
    /// The environment it belongs to.
    pub environment: String,
    /// The rest.
    pub settings: Settings,
}

macro_rules! sink_columns {
    () => {
        "id, name, tenant_id, environment, endpoint, token, timeout_ms, batch_size, verify_ssl, enabled, \
         schema_version, ca, allow_private, compression, signing, version, created_at, changed_at"
    };
}

const INSERT: Sql = Sql {
    name: "sinks.insert",
    text: "INSERT INTO sinks (endpoint, token, timeout_ms, batch_size, verify_ssl, enabled, schema_version, ca, \
           allow_private, compression, signing, changed_at, created_at, name, tenant_id, environment, version) \
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
};

const UPDATE: Sql = Sql {
    name: "sinks.update",
    text: "UPDATE sinks SET endpoint = ?, token = ?, timeout_ms = ?, batch_size = ?, verify_ssl = ?, enabled = ?, \
           schema_version = ?, ca = ?, allow_private = ?, compression = ?, signing = ?, changed_at = ?, \
           version = version + 1 WHERE id = ?",
};

const DELETE: Sql = Sql {
    name: "sinks.delete",
    text: "DELETE FROM sinks WHERE id = ?",
};

const LOCK: Sql = Sql {
    name: "sinks.lock",
    text: concat!("SELECT ", sink_columns!(), " FROM sinks WHERE id = ? $LOCK"),
};

const ONE: Sql = Sql {
    name: "sinks.one",
    text: concat!("SELECT ", sink_columns!(), " FROM sinks WHERE id = ?"),
};

const NAMED: Sql = Sql {
    name: "sinks.by_name",
    text: concat!("SELECT ", sink_columns!(), " FROM sinks WHERE name = ?"),
};

const PAGE: Sql = Sql {
    name: "sinks.page",
    text: concat!(
        "SELECT ",
        sink_columns!(),
        " FROM sinks WHERE id > ? ORDER BY id LIMIT ?"
    ),
};

const NAMES: Sql = Sql {
    name: "sinks.names",
    text: "SELECT name FROM sinks ORDER BY name LIMIT ?",
};

const COUNT: Sql = Sql {
    name: "sinks.count",
    text: "SELECT COUNT(*) FROM sinks",
};

const TENANT: Sql = Sql {
    name: "tenants.exists",
    text: "SELECT id FROM tenants WHERE id = ?",
};

const NEXT_EPOCH: Sql = Sql {
    name: "sinks_epoch.next",
    text: "UPDATE sinks_epoch SET epoch = epoch + 1 WHERE id = 1",
};

const EPOCH: Sql = Sql {
    name: "sinks_epoch.read",
    text: "SELECT epoch FROM sinks_epoch WHERE id = 1",
};

impl Store {
    /// Makes a sink, if there are fewer than `most`; its row id.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken or the tenant has one in that environment,
    /// [`StoreError::Missing`] when there is no such tenant, [`StoreError::Unfit`] when there are as many
    /// as there may be.
    pub async fn create_sink(&self, new: &NewSink, most: usize) -> Result<i64, StoreError> {
        fits_word("the name of a sink", &new.name, LONGEST_NAME)?;
        fits_word("an environment", &new.environment, ENVIRONMENT)?;
        fits_settings(&new.settings)?;
        retrying!(self, self.create_sink_once(new, most))
    }

    async fn create_sink_once(&self, new: &NewSink, most: usize) -> Result<i64, StoreError> {
        let now = Timestamp::now();
        let mut tx = self.inner.db.begin().await?;
        let rows = tx.fetch(&COUNT, 1, &[]).await?;
        let count = rows.first().map_or(Ok(0), |row| row.cells().int())?;
        if usize::try_from(count).is_ok_and(|count| count >= most) {
            return Err(StoreError::Unfit(format!("there are {count} sinks already")));
        }
        if let Some(tenant) = new.tenant_id
            && tx.fetch(&TENANT, 1, &[tenant.into()]).await?.is_empty()
        {
            return Err(StoreError::Missing("tenant"));
        }
        let mut values = Binds::of(16);
        put(&mut values, &new.settings, now);
        values
            .put(now)
            .put(new.name.as_str())
            .put(new.tenant_id.unwrap_or(0))
            .put(new.environment.as_str());
        let done = tx.execute(&INSERT, 1, &values).await.map_err(taken)?;
        let whose = new
            .tenant_id
            .map_or("every tenant".to_owned(), |id| format!("tenant {id}"));
        let detail = format!(
            "{}, {}, {whose}: {}",
            new.name, new.environment, new.settings.endpoint
        );
        let subject = Subject::Sink(done.last_id);
        self.attribute(&mut tx, "sink.created", subject, &detail).await?;
        counted(&mut tx).await?;
        tx.commit().await?;
        Ok(done.last_id)
    }

    /// Changes a sink; as it is now.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none, [`StoreError::Exists`] when it was changed meanwhile.
    pub async fn change_sink(&self, id: i64, change: &Change) -> Result<Sink, StoreError> {
        retrying!(self, self.change_sink_once(id, change))
    }

    async fn change_sink_once(&self, id: i64, change: &Change) -> Result<Sink, StoreError> {
        let now = Timestamp::now();
        let mut tx = self.inner.db.begin().await?;
        let rows = tx.fetch(&LOCK, 1, &[id.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("sink"))?;
        let mut sink = read(&mut row.cells())?;
        if change.of_version.is_some_and(|version| version != sink.version) {
            return Err(StoreError::Exists("newer version of the sink"));
        }
        change.apply(&mut sink.settings);
        fits_settings(&sink.settings)?;
        let mut values = Binds::of(13);
        put(&mut values, &sink.settings, now);
        values.put(id);
        tx.execute(&UPDATE, 1, &values).await?;
        let detail = format!("{}: {change}", sink.name);
        self.attribute(&mut tx, "sink.changed", Subject::Sink(id), &detail)
            .await?;
        counted(&mut tx).await?;
        tx.commit().await?;
        sink.version += 1;
        sink.changed_at = now;
        Ok(sink)
    }

    /// Removes a sink: its tenants' sales go where those of tenants without one go.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub async fn remove_sink(&self, id: i64) -> Result<(), StoreError> {
        retrying!(self, async {
            let mut tx = self.inner.db.begin().await?;
            let rows = tx.fetch(&LOCK, 1, &[id.into()]).await?;
            let row = rows.first().ok_or(StoreError::Missing("sink"))?;
            let sink = read(&mut row.cells())?;
            found(tx.execute(&DELETE, 1, &[id.into()]).await?.rows, "sink")?;
            let detail = format!("{}: {}", sink.name, sink.settings.endpoint);
            self.attribute(&mut tx, "sink.removed", Subject::Sink(id), &detail)
                .await?;
            counted(&mut tx).await?;
            tx.commit().await
        })
    }

    /// The sink with this row id.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub async fn sink(&self, id: i64) -> Result<Sink, StoreError> {
        let rows = self.inner.db.fetch(&ONE, 1, &[id.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("sink"))?;
        read(&mut row.cells())
    }

    /// The sink with this name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none.
    pub async fn sink_named(&self, name: &str) -> Result<Sink, StoreError> {
        let rows = self.inner.db.fetch(&NAMED, 1, &[name.into()]).await?;
        let row = rows.first().ok_or(StoreError::Missing("sink"))?;
        read(&mut row.cells())
    }

    /// One page of sinks with a row id above `after`, in order of id.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn list_sinks(&self, after: i64, limit: usize) -> Result<Vec<Sink>, StoreError> {
        let values = [after.into(), page(limit)];
        let rows = self.inner.db.fetch(&PAGE, 1, &values).await?;
        rows.iter().map(|row| read(&mut row.cells())).collect()
    }

    /// Every sink in order of id, a page at a time; no further page once there are more than `most`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn all_sinks(&self, most: usize) -> Result<Vec<Sink>, StoreError> {
        let (mut all, mut after) = (Vec::new(), 0);
        while all.len() <= most {
            let rows = self.list_sinks(after, ALL_PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            all.extend(rows);
        }
        Ok(all)
    }

    /// The names of at most `limit` sinks, in their order.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sink_names(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let rows = self.inner.db.fetch(&NAMES, 1, &[page(limit)]).await?;
        rows.iter().map(|row| row.cells().text()).collect()
    }

    /// How many changes of sinks there were. Who reads it before the sinks sees none later than it says.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn sinks_epoch(&self) -> Result<i64, StoreError> {
        let rows = self.inner.db.fetch(&EPOCH, 1, &[]).await?;
        let row = rows.first().ok_or(StoreError::Missing("epoch of the sinks"))?;
        row.cells().int()
    }
}

/// Counts a change. The lock of the one row is held until the commit, so this comes last.
async fn counted(tx: &mut Tx) -> Result<(), StoreError> {
    found(tx.execute(&NEXT_EPOCH, 1, &[]).await?.rows, "epoch of the sinks")
}

fn fits_settings(settings: &Settings) -> Result<(), StoreError> {
    fits("an endpoint", &settings.endpoint, LONGEST_ENDPOINT)?;
    fits_word("a sealed token", settings.token.as_deref().unwrap_or(""), TOKEN)?;
    fits_word(
        "sealed secrets",
        settings.signing.as_deref().unwrap_or(""),
        SIGNING,
    )?;
    fits_word("a schema version", &settings.schema_version, SCHEMA_VERSION)?;
    fits_word("certificates", settings.ca.as_deref().unwrap_or(""), LONGEST_CA)
}

/// What of a sink can be set, in the order of both statements.
fn put<'a>(values: &mut Binds<'a>, settings: &'a Settings, now: Timestamp) {
    values
        .put(settings.endpoint.as_str())
        .put(settings.token.as_deref())
        .put(i64::from(settings.timeout_ms))
        .put(i64::from(settings.batch_size))
        .put(i64::from(settings.verify_ssl))
        .put(i64::from(settings.enabled))
        .put(settings.schema_version.as_str())
        .put(settings.ca.as_deref())
        .put(i64::from(settings.allow_private))
        .put(settings.compression.word())
        .put(settings.signing.as_deref())
        .put(now);
}

fn taken(error: StoreError) -> StoreError {
    match error {
        StoreError::Exists(_) => StoreError::Exists("sink of that name or for that tenant"),
        other => other,
    }
}

fn read(cells: &mut Cells<'_>) -> Result<Sink, StoreError> {
    Ok(Sink {
        id: cells.int()?,
        name: cells.text()?,
        tenant_id: Some(cells.int()?).filter(|id| *id != 0),
        environment: cells.text()?,
        settings: Settings {
            endpoint: cells.text()?,
            token: cells.text_or_null()?,
            timeout_ms: cells.count()?,
            batch_size: cells.count()?,
            verify_ssl: cells.flag()?,
            enabled: cells.flag()?,
            schema_version: cells.text()?,
            ca: cells.text_or_null()?,
            allow_private: cells.flag()?,
            compression: cells.word(|word| word.parse().ok())?,
            signing: cells.text_or_null()?,
        },
        version: cells.int()?,
        created_at: cells.time()?,
        changed_at: cells.time()?,
    })
}
