#!/usr/bin/env python3
"""Whether a web application holds just what tills were told is accepted, independent of TSMS: standard library only.

Reads submissions as they were posted, one JSON object a line on standard input, and the ledger of
`tsms sink` at --sink URL. Fails where a sale is missing, there twice, of another worth, or never sold.
"""

import argparse
import collections
import decimal
import json
import sys

from totals import ledger_of


def worth(sale):
    """As docs/webapp-contract.md has `amount`: gross sales, or the base amount of the seed era."""
    value = sale["gross_sales"] if sale.get("gross_sales") is not None else sale["base_amount"]
    return decimal.Decimal(str(value)).quantize(decimal.Decimal("0.01"))


def accepted(lines):
    for line in lines:
        # Numbers as they are written: a float would lose centavos.
        body = json.loads(line, parse_float=decimal.Decimal)
        sales = body["transactions"] if "transactions" in body else [body["transaction"]]
        for sale in sales:
            yield (int(body["terminal_id"]), sale["transaction_id"], worth(sale))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--sink", required=True, help="base URL of `tsms sink`")
    given = arguments.parse_args()

    wanted = collections.Counter(accepted(line for line in sys.stdin if line.strip()))
    held = collections.Counter(
        (entry["terminal_id"], entry["transaction_id"], decimal.Decimal(entry["amount"]))
        for entry in ledger_of(given.sink)
    )
    for word, sales in (("missing", wanted - held), ("too much", held - wanted)):
        for sale, count in sorted(sales.items()):
            print(f"{word}: {count} x {sale}", file=sys.stderr)
    print(f"{sum(wanted.values())} accepted, {sum(held.values())} held")
    return 0 if wanted == held else 1


if __name__ == "__main__":
    sys.exit(main())
