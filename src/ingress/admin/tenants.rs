//! `/api/v1/admin/tenants`

use std::sync::Arc;

use axum::{Json, Router, extract::State, routing::get};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Admin, List, Page, RowId, Tenants, refused};
use crate::{
    domain::directory,
    ingress::{
        App,
        error::Error,
        form::{Form, text, wrong},
    },
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/admin/tenants", get(list).post(create))
        .route("/api/v1/admin/tenants/{id}", get(show).patch(change))
}

/// A tenant.
#[derive(Debug, Serialize)]
pub(super) struct Tenant {
    id: i64,
    company_id: i64,
    code: String,
    name: String,
    timezone: String,
    /// Whether it may submit.
    active: bool,
}

impl From<directory::Tenant> for Tenant {
    fn from(row: directory::Tenant) -> Self {
        Self {
            id: row.id,
            company_id: row.company_id,
            code: row.code,
            name: row.name,
            timezone: row.timezone,
            active: row.active,
        }
    }
}

/// A tenant to be made, and its company, if the code is new.
#[derive(Debug, Deserialize)]
pub(super) struct NewTenant {
    /// Its customer code, unique.
    code: String,
    /// Trade name.
    name: String,
    /// Code of the company it belongs to.
    company_code: String,
    /// Name of the company, used if its code is new; else its code is its name.
    company_name: Option<String>,
    /// IANA time zone of its business day; Asia/Manila unless given.
    timezone: Option<String>,
}

/// What of a tenant changes; what is left out stays.
#[derive(Debug, Deserialize)]
pub(super) struct TenantChange {
    /// Whether it may submit.
    active: Option<bool>,
    /// Trade name.
    name: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    admin: Admin<Tenants>,
    page: Page,
) -> Result<Json<List<Tenant>>, Error> {
    let rows = admin.store.list_tenants(page.after, page.limit()).await;
    let rows = rows.map_err(|error| refused(&app, &error))?;
    let items = rows.into_iter().map(Tenant::from).collect();
    Ok(Json(List::of(items, page.limit(), |tenant| tenant.id)))
}

async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<Tenants>,
    RowId(id): RowId,
) -> Result<Json<Tenant>, Error> {
    let tenant = admin.store.tenant(id).await;
    let tenant = tenant.map_err(|error| refused(&app, &error))?;
    Ok(Json(tenant.into()))
}

async fn create(
    State(app): State<Arc<App>>,
    admin: Admin<Tenants>,
    Form(new): Form<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>), Error> {
    let company_name = new.company_name.as_ref().unwrap_or(&new.company_code);
    let timezone = new.timezone.as_deref().unwrap_or("Asia/Manila");
    for (member, value, longest) in [
        ("code", new.code.as_str(), 50),
        ("name", new.name.as_str(), 255),
        ("company_code", new.company_code.as_str(), 50),
        ("company_name", company_name.as_str(), 255),
    ] {
        text(member, value, longest)?;
    }
    if !is_timezone(timezone) {
        return Err(wrong(
            "timezone",
            "must be an IANA name such as Asia/Manila, or UTC",
        ));
    }
    let made = async {
        let company_id = admin
            .store
            .ensure_company(&new.company_code, company_name)
            .await?;
        admin
            .store
            .create_tenant(company_id, &new.code, &new.name, timezone)
            .await
    };
    let tenant = made.await.map_err(|error| refused(&app, &error))?;
    Ok((StatusCode::CREATED, Json(tenant.into())))
}

async fn change(
    State(app): State<Arc<App>>,
    admin: Admin<Tenants>,
    RowId(id): RowId,
    Form(change): Form<TenantChange>,
) -> Result<Json<Tenant>, Error> {
    if let Some(name) = &change.name {
        text("name", name, 255)?;
    }
    let changed = async {
        admin
            .store
            .update_tenant(id, change.active, change.name.as_deref())
            .await?;
        admin.store.tenant(id).await
    };
    let tenant = changed.await.map_err(|error| refused(&app, &error))?;
    Ok(Json(tenant.into()))
}

/// `UTC` or `Area/City`; the zone itself is looked up where the business day is computed.
fn is_timezone(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    text == "UTC" || (text.len() <= 64 && text.contains('/') && text.chars().all(plain))
}
