"""Write units that a tenant's ledger costs route, by how many budgets the tenant has.

    python bench/budgets.py [budgets ...]

Policies of 60 budgets each, one an org, beside one of the whole tenant; a call is covered by two of them. One
environment asks every 31 s, so that every call renews what covers it: the worst that a slow caller pays. Requests are
counted as they were sent (bench/metering.py); an update bills the whole item as it is at the end.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from metering import Metered

from policy_lang.envelope import build_envelope, envelope_to_wire

PRICES = json.loads((Path(__file__).parent / "prices.json").read_text())
PER_POLICY = 60
CALLS = 100
ENVELOPE = envelope_to_wire(build_envelope(task_type="label", context_tokens=180))


def main(*sizes: str) -> int:
    print(f"{'budgets':>8}{'renewals a call':>18}{'write units a call':>20}{'a million calls':>18}")
    for size in map(int, sizes or ("1", "30", "300", "1000")):
        updates, units = measured(size)
        usd = units / CALLS * PRICES["per_million"]["dynamodb write units"]["usd"]
        print(f"{size:>8,}{updates / CALLS:>18.2f}{units / CALLS:>20.2f}{'$' + format(usd, '.2f'):>18}")
    return 0


def measured(size: int) -> tuple[int, int]:
    """Updates of the ledger, and their write units, over the counted calls."""
    with Metered() as metered:
        for first in range(0, size, PER_POLICY):
            source = policy(first // PER_POLICY, range(first, min(size, first + PER_POLICY)))
            metered.post("PublishFunction", f"/v1/policies/bench/p{first // PER_POLICY}", {"source": source})
        for org in range(size):
            ask(metered, org)
        metered.start_counting()
        for call in range(CALLS):
            ask(metered, call * 7 % size)
        used = metered.totals()["RouteFunction"]
        return used.calls["dynamodb.UpdateItem"], used.units["dynamodb write units"]


def policy(number: int, orgs: range) -> str:
    budgets = "\n".join(f"budget org department-{org} $40/day" for org in orgs)
    return (
        f'policy "bench/p{number}" language 1\ntier small = [claude-haiku-4-5]\n'
        "default route general { use small  pick cheapest }\nfallback claude-haiku-4-5\n"
        f"budget tenant $40_000/month\n{budgets}\n"
    )


def ask(metered: Metered, org: int) -> None:
    metered.now_ms += 31_000
    body = {"policy": f"bench/p{org // PER_POLICY}", "org": f"department-{org}", "envelope": ENVELOPE}
    metered.post("RouteFunction", "/v1/route", body)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
