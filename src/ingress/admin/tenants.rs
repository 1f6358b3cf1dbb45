//! `/api/v1/admin/tenants`

use std::sync::Arc;

use axum::{Json, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Admin, List, Page, RowId, Tenants, refused};
use crate::{
    domain::{ability, directory},
    ingress::{
        App,
        error::Error,
        form::{Form, text, wrong},
    },
};

const TENANTS: &str = "/api/v1/admin/tenants";
const TENANT: &str = "/api/v1/admin/tenants/{id}";

/// The routes of this file.
pub(super) fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
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
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct NewTenant {
    /// Its customer code, unique.
    #[schema(
        min_length = 1,
        max_length = 50,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    code: String,
    /// Trade name.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    name: String,
    /// Code of the company it belongs to.
    #[schema(
        min_length = 1,
        max_length = 50,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    company_code: String,
    /// Name of the company, used if its code is new; else its code is its name.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    company_name: Option<String>,
    /// IANA time zone of its business day; Asia/Manila unless given.
    #[schema(max_length = 64, pattern = "^(UTC|[A-Za-z0-9_+-]*/[A-Za-z0-9/_+-]*)$")]
    timezone: Option<String>,
}

/// What of a tenant changes; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TenantChange {
    /// Whether it may submit.
    active: Option<bool>,
    /// Trade name.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]+$"
    )]
    name: Option<String>,
}

/// List tenants.
///
/// By id, a page at a time.
#[utoipa::path(
    get,
    path = TENANTS,
    operation_id = "listTenants",
    tag = "administration",
    params(Page),
    responses((status = 200, description = "One page.", body = List<Tenant>)),
    security(("bearer" = [ability::ADMIN_TENANTS])),
    extensions(("x-problems" = json!(["invalid_query"]))),
)]
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

/// Show a tenant.
#[utoipa::path(
    get,
    path = TENANT,
    operation_id = "showTenant",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    responses((status = 200, description = "The tenant.", body = Tenant)),
    security(("bearer" = [ability::ADMIN_TENANTS])),
)]
async fn show(
    State(app): State<Arc<App>>,
    admin: Admin<Tenants>,
    RowId(id): RowId,
) -> Result<Json<Tenant>, Error> {
    let tenant = admin.store.tenant(id).await;
    let tenant = tenant.map_err(|error| refused(&app, &error))?;
    Ok(Json(tenant.into()))
}

/// Make a tenant.
///
/// And its company, if the code of that is new.
#[utoipa::path(
    post,
    path = TENANTS,
    operation_id = "createTenant",
    tag = "administration",
    request_body(content = NewTenant, content_type = "application/json"),
    responses((status = 201, description = "Made.", body = Tenant)),
    security(("bearer" = [ability::ADMIN_TENANTS])),
    extensions(("x-problems" = json!(["invalid_fields", "already_exists", "unstorable"]))),
)]
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

/// Change a tenant.
///
/// Switching it off holds at every ingress within a second.
#[utoipa::path(
    patch,
    path = TENANT,
    operation_id = "changeTenant",
    tag = "administration",
    params(("id" = i64, Path, description = "Its row id.", minimum = 1)),
    request_body(content = TenantChange, content_type = "application/json"),
    responses((status = 200, description = "As it is now.", body = Tenant)),
    security(("bearer" = [ability::ADMIN_TENANTS])),
    extensions(("x-problems" = json!(["invalid_fields", "unstorable"]))),
)]
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
