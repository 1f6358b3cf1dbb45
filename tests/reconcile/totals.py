#!/usr/bin/env python3
"""Control totals by the text of docs/webapp-contract.md, independent of TSMS: standard library only.

Reads a ledger, one JSON object a line on standard input or in FILE:
    {"tsms_id": 50118, "tenant_id": 125, "sold_at": "2026-11-20T03:59:30.000Z",
     "amount": "1000.00", "refunded": "0.00", "voided": false}
(`sold_at` may be microseconds since 1970; or --sink URL reads the ledger of `tsms sink`.)

Prints the totals of one tenant's range of times and ids as JSON. With --ask URL it asks a web
application for the same totals, for the whole and for parts of it, and fails where they differ.
"""

import argparse
import base64
import datetime
import decimal
import hashlib
import hmac
import json
import random
import sys
import time
import urllib.request
import uuid

HIGHEST = 2**53


def instant(value):
    """Microseconds since 1970."""
    if isinstance(value, int):
        return value
    moment = datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (moment - epoch) // datetime.timedelta(microseconds=1)


def totals(sales, after=0, up_to=HIGHEST):
    """Of sales in order of id: count, sums, and the SHA-256 over their lines."""
    digest, count = hashlib.sha256(), 0
    amount, net = decimal.Decimal("0.00"), decimal.Decimal("0.00")
    for sale in sales:
        if not after < sale["tsms_id"] <= up_to:
            continue
        gross, back = decimal.Decimal(sale["amount"]), decimal.Decimal(sale["refunded"])
        count += 1
        amount += gross
        net += 0 if sale["voided"] else gross - back
        status = "VOIDED" if sale["voided"] else "SALE"
        digest.update(f"{sale['tsms_id']}|{gross:.2f}|{back:.2f}|{status}\n".encode())
    return {"count": count, "amount": f"{amount:.2f}", "net": f"{net:.2f}", "digest": digest.hexdigest()}


def signed(secret, data):
    """The headers of Standard Webhooks, by the text of its specification."""
    name, sent = str(uuid.uuid4()), str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{name}.{sent}.".encode() + data, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(made).decode()
    return {"webhook-id": name, "webhook-timestamp": sent, "webhook-signature": signature}


def fetch(url, body=None, token=None, secret=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    if secret:
        headers |= signed(secret, data)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, data=data, headers=headers), timeout=30) as answer:
        return json.load(answer)


def ledger_of(sink):
    after = -HIGHEST
    while after is not None:
        page = fetch(f"{sink}/_control/entries/{after}")
        yield from page["entries"]
        after = page["next"]


def parts(sales):
    """The whole, and ranges that touch, end within, and lie above and below the sales."""
    ranges = [(0, HIGHEST)]
    if sales:
        first, last = sales[0]["tsms_id"], sales[-1]["tsms_id"]
        cuts = sorted({random.randint(first - 1, last + 1) for _ in range(40)})
        ranges += list(zip([0] + cuts, cuts + [HIGHEST]))
        ranges += [(first - 1, first), (last, HIGHEST), (first, first)]
    return ranges[:100]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("file", nargs="?", help="ledger; standard input unless given")
    arguments.add_argument("--tenant", type=int, required=True)
    arguments.add_argument("--from", dest="start", required=True, help="2026-11-19T16:00:00.000Z")
    arguments.add_argument("--to", required=True)
    arguments.add_argument("--sink", help="base URL of `tsms sink`, whose ledger is read")
    arguments.add_argument("--ask", help="URL of control totals to compare with")
    arguments.add_argument("--token")
    arguments.add_argument("--secret", help="whsec_…, to sign the question with")
    given = arguments.parse_args()

    if given.sink:
        rows = ledger_of(given.sink)
    else:
        lines = open(given.file, encoding="utf-8") if given.file else sys.stdin
        rows = (json.loads(line) for line in lines if line.strip())
    start, end = instant(given.start), instant(given.to)
    sales = [row for row in rows if row["tenant_id"] == given.tenant and start <= instant(row["sold_at"]) < end]
    sales.sort(key=lambda sale: sale["tsms_id"])
    print(json.dumps(totals(sales)))
    if not given.ask:
        return 0

    ranges = parts(sales)
    question = {
        "schema_version": "2.0",
        "source": "TSMS",
        "tenant_id": given.tenant,
        "from": given.start,
        "to": given.to,
        "ranges": [{"after": after, "up_to": up_to} for after, up_to in ranges],
        "list": 0,
    }
    told = fetch(given.ask, question, given.token, given.secret)["ranges"]
    wrong = 0
    for (after, up_to), answer in zip(ranges, told, strict=True):
        expected = {"after": after, "up_to": up_to, **totals(sales, after, up_to)}
        if {name: answer.get(name) for name in expected} != expected:
            wrong += 1
            print(f"expected {expected}\n     got {answer}", file=sys.stderr)
    print(f"{len(ranges)} ranges compared, {wrong} differ", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
