"""`make bench-access`: what a decision with its ledger entry adds to a search, and how long a verification takes.

100 tenants, 20 moratoria, and as many entries as asked for, written through the ledger's own door.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from access.acts.moratoria import Moratoria, MoratoriumTerms
from access.acts.tenants import Tenants, WantedTerms
from access.gate import Gate, Request
from access.homes import make_home
from access.ledger.chain import Draft
from access.ledger.ledger import Ledger
from access.ledger.verification import verify

TENANTS, MORATORIA, BATCH, ROUNDS = 100, 20, 20_000, 21

ONE_QUERY = """
import sys, time
from pathlib import Path
from access.gate import Gate, Request
import access.ledger.sqlite
request = Request("search", "county", "robbery", "2026-0117", "D. Ito", k=20, probe="ab" * 32)
started = time.perf_counter()
gate = Gate.open(Path(sys.argv[1]))
permit = gate.ask(sys.argv[2], request)
asked = time.perf_counter()
gate.answer(permit, {"outcome": "CANDIDATES", "candidates": 20}, {"candidates": [{"rank": 1, "distance": "0.31"}] * 20})
gate.handed_out()
print(asked - started, time.perf_counter() - asked)
"""


def main(entries: int) -> None:
    """Builds a ledger of so many entries and prints the table."""
    print(f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory(prefix="afterfact-access-") as folder:
        home = Path(folder) / "home"
        credential = build(home, entries)
        size = (home / "ledger.sqlite").stat().st_size
        print(f"{entries:,} entries, {TENANTS} tenants, {MORATORIA} moratoria: {size / 1e6:,.0f} MB\n")
        print_decisions(home, credential)
        print_verification(home, entries)


def build(home: Path, entries: int) -> str:
    """Returns the credential of a tenant that may search a house with so many entries."""
    operator = make_home(home, "bench").text
    gate = Gate.open(home)
    tenants = Tenants(gate, operator)
    terms = WantedTerms(galleries=["county"], queries_a_day=1_000_000)
    made = [tenants.add(f"Agency {number}", "sheriff", terms) for number in range(TENANTS)]
    for number in range(MORATORIA):
        Moratoria(gate, operator).declare(MoratoriumTerms(f"bar {number}", "bench", ["prosecutor"], duration="1y"))
    ledger = Ledger(home)
    while (there := ledger.head().number) < entries:
        count = min(BATCH, entries - there)
        ledger.append_decided(lambda _view, first=there, count=count: [answered(first + one) for one in range(count)])
        print(f"\r{there + count:,} entries written", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return made[0].text


def answered(number: int) -> Draft:
    """Returns an entry as a search leaves one."""
    case, probe, tenant = f"2025-{number:07d}", f"{number:064x}", f"Agency {number % TENANTS}"
    finding = {"rule": "licence", "effect": "allows", "text": "the licence is active", "name": None}
    request = {"operation": "search", "gallery": "county", "purpose": "robbery", "operator": "D. Ito", "k": 20}
    who = {"role": "tenant", "name": tenant, "kind": "sheriff", "person": "D. Ito", "credential": "0" * 16}
    body = {"request": request, "who": who, "findings": [finding] * 6, "answer": {"outcome": "CANDIDATES"}}
    details = {"case": case, "probe": probe, "answer": {"candidates": [{"rank": 1, "distance": "0.3120"}] * 20}}
    traces = (f"day:2025-01-01:{tenant}",)
    return Draft("search.answered", tenant, body, details, traces=traces, private_traces=(f"probe:{probe}",))


def print_decisions(home: Path, credential: str) -> None:
    """Prints what one query's decisions take, in a process that has just begun and in one that goes on."""
    command = [sys.executable, "-c", ONE_QUERY, str(home), credential]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    cold = [
        tuple(
            map(
                float,
                subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split(),
            )
        )
        for _ in range(ROUNDS)
    ]
    gate = Gate.open(home)
    request = Request("search", "county", "robbery", "2026-0117", "D. Ito", k=20, probe="ab" * 32)
    warm = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        permit = gate.ask(credential, request)
        asked = time.perf_counter() - started
        gate.answer(permit, {"outcome": "CANDIDATES"}, {"candidates": [{"rank": 1, "distance": "0.31"}] * 20})
        warm.append((asked, time.perf_counter() - started - asked))
    plain = [disk_sync(home) for _ in range(ROUNDS)]
    print(f"{'medians of ' + str(ROUNDS) + ', ms':<44}{'ask':>8}{'answer':>8}{'both':>8}")
    for name, pairs in (("a process of its own (imports not counted)", cold), ("an open session", warm)):
        ask, answer = (statistics.median(one[part] for one in pairs) for part in (0, 1))
        both = statistics.median(sum(one) for one in pairs)
        print(f"  {name:<42}{1000 * ask:>8.1f}{1000 * answer:>8.1f}{1000 * both:>8.1f}")
    print(f"  {'one 4 kB write and fsync on this disk':<42}{'':>16}{1000 * statistics.median(plain):>8.1f}\n")


def disk_sync(folder: Path) -> float:
    """Returns the seconds that one write takes to be safe on this disk."""
    started = time.perf_counter()
    with open(folder / "sync", "wb") as stream:
        stream.write(b"x" * 4096)
        stream.flush()
        os.fsync(stream.fileno())
    return time.perf_counter() - started


def print_verification(home: Path, entries: int) -> None:
    """Prints how long checking every entry takes."""
    started = time.perf_counter()
    found = verify(Ledger(home))
    seconds = time.perf_counter() - started
    assert found.intact, found.problem
    print(f"audit verify: {found.number:,} entries in {seconds:.1f} s, {found.number / seconds:,.0f} a second")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
