"""What generated requests cannot know: whose token it is, and the checksum of a body.

Only requests that are meant to be good are completed; what is meant to be refused is sent as it was
made. Checksums come from the sandbox of the server under test, which knows every number's text.
"""

import collections
import itertools
import json
import os
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone

import schemathesis

BASE = os.environ["TSMS_CONTRACT_URL"]
TOKEN = os.environ["TSMS_CONTRACT_TOKEN"]
TILL = json.loads(os.environ["TSMS_CONTRACT_TILL"])
ADJUSTMENTS = (
    "promo_discount",
    "senior_discount",
    "pwd_discount",
    "vip_card_discount",
    "service_charge_distributed_to_employees",
    "service_charge_retained_by_management",
    "employee_discount",
)
TAXES = ("VAT", "VATABLE_SALES", "SC_VAT_EXEMPT_SALES")
NUMBERS = itertools.count(1)
# Sales that the server took: some to be void, one to be refunded bit by bit.
TAKEN = collections.deque(maxlen=100)


@schemathesis.hook
def after_call(ctx, case, response):
    if case.operation.definition.raw["operationId"] == "submitSales" and response.status_code == 202:
        TAKEN.extend(sale["transaction_id"] for sale in sales_of(case.body))


@schemathesis.hook
def before_call(ctx, case, kwargs):
    name = case.operation.definition.raw["operationId"]
    if name in ("rotateToken", "revokeToken") and str(case.path_parameters.get("id")) == TILL["admin_id"]:
        # The token that asks would be gone, and everything after it a 401.
        case.path_parameters["id"] = TILL["spare_id"]
    meta = case.meta
    if meta is None or meta.generation.mode.is_positive is not True:
        return
    if isinstance(case.query, dict) and "limit" in case.query:
        # The most rows of a page is a setting, which a schema cannot know.
        case.query["limit"] = min(int(case.query["limit"]), 500)
    if not isinstance(case.body, dict):
        return
    if name == "submitSales":
        complete(case.body)
    elif name == "voidSale":
        if TAKEN:
            case.path_parameters["id"] = TAKEN.pop()
        void(case.body, case.path_parameters["id"])
    elif name == "refundSale":
        if TAKEN:
            case.path_parameters["id"] = TAKEN[0]
        refund(case.body, case.path_parameters["id"])
    elif name == "heartbeat" and case.body.get("client_time") is not None:
        case.body["client_time"] = real(case.body["client_time"])
    else:
        administer(name, case)


def administer(name, case):
    """Names what is there, and times and networks that are some."""
    body = case.body
    if name in ("createTerminal", "enrol"):
        body["tenant_id"] = TILL["tenant_id"]
    if name in ("createSink", "changeSink"):
        sink(body)
    if name == "startRedrive":
        # About nothing: what others made is not to be touched.
        body["where"] = "id=999999"
    if body.get("expires_at") is not None:
        body["expires_at"] = "2099-12-31T00:00:00Z"
    if name == "forceBreaker":
        case.path_parameters["sink"] = "webapp"
        body["ends_at"] = soon()
    elif "ends_at" in body:
        # An order about somebody else than who asks, for a while.
        body["subject"] = "address:192.0.2.7"
        body["ends_at"] = soon()
    if name == "issueToken":
        if body.get("terminal_id") is not None:
            body["terminal_id"] = TILL["terminal_id"]
            body["abilities"] = [word for word in body.get("abilities", []) if not word.startswith("admin:")]
        else:
            body["abilities"] = ["admin:tenants"]
        if body.get("networks") is not None:
            body["networks"] = "10.0.0.0/8, 192.0.2.7"


def sink(body):
    """One that nothing is sent to: of another environment, or disabled."""
    if "name" in body:
        body["name"] = "s" + str(next(NUMBERS))
        body["environment"] = "e" + str(next(NUMBERS))
    else:
        body["enabled"] = False
    if body.get("endpoint") is not None:
        body["endpoint"] = "https://mall.example/in"
    if body.get("tenant_id") is not None:
        body["tenant_id"] = TILL["tenant_id"]
    # A schema cannot say what a certificate is.
    body.pop("ca", None)


def soon():
    return (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def complete(body):
    """Makes a submission of the till out of one that only has the right form."""
    body["tenant_id"] = TILL["tenant_id"]
    body["terminal_id"] = TILL["terminal_id"]
    body["submission_uuid"] = fresh()
    body["submission_timestamp"] = real(body["submission_timestamp"])
    sales = sales_of(body)
    body["transaction_count"] = len(sales)
    for sale in sales:
        sale["transaction_id"] = fresh()
        sale["transaction_timestamp"] = real(sale["transaction_timestamp"])
        if sale.get("hardware_id") is not None:
            sale["hardware_id"] = TILL["serial_number"]
        if sale.get("base_amount") is None:
            rows(sale["adjustments"], "adjustment_type", ADJUSTMENTS)
            rows(sale["taxes"], "tax_type", TAXES)
    sign(body, sales)


def sales_of(body):
    single = [body["transaction"]] if "transaction" in body else []
    return single + body.get("transactions", [])


def void(body, sale):
    """Its checksum covers two members alone."""
    body["transaction_id"] = sale
    body["void_reason"] = said(body["void_reason"])
    covered = {name: body[name] for name in ("transaction_id", "void_reason")}
    body["payload_checksum"] = newest(compare(covered)[-1])


def refund(body, sale):
    body.pop("payload_checksum", None)
    body["transaction_id"] = sale
    body["refund_reason"] = said(body["refund_reason"])
    # A schema cannot ask for at most two decimals of a number.
    amount = max(float(body["refund_amount"]), 0.01)
    body["refund_amount"] = "%.2f" % min(amount, 9_999_999_999.99)


def said(text):
    """A text of blanks says nothing, and is refused."""
    return text if text.strip(" ") else "-"


def fresh():
    return str(uuid.uuid5(uuid.NAMESPACE_OID, str(next(NUMBERS))))


def real(time):
    """The pattern of a time lets 31 February through."""
    try:
        datetime.strptime(time[:19], "%Y-%m-%dT%H:%M:%S")
        return time
    except ValueError:
        return "2026-02-28T23:59:59Z"


def rows(listed, member, required):
    """Adds the rows that a schema cannot ask for by name."""
    for row in listed:
        row[member] = said(row[member])
    named = {row[member] for row in listed}
    listed.extend({member: name, "amount": 0} for name in required if name not in named)


def sign(body, sales):
    """The transactions first: the submission is hashed with their checksums inside."""
    levels = compare(body)
    for sale, level in zip(sales, levels):
        sale["payload_checksum"] = newest(level)
    body["payload_checksum"] = newest(compare(body)[-1])


def newest(level):
    return level["versions"][0]["sha256"]


def compare(body):
    request = urllib.request.Request(
        BASE + "/api/v1/checksum/sandbox",
        data=json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["levels"]
    except urllib.error.HTTPError as error:
        raise AssertionError("the sandbox refuses %r: %s" % (body, error.read())) from error
