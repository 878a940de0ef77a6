"""The ledger as an SQLite file: where it may lie, how it is opened, and what a lost or replaced file means."""

from __future__ import annotations

import gc
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from databases import Place

from access.ledger import sqlite as store
from access.ledger.chain import Draft
from access.ledger.errors import LedgerAbsent, LedgerError, LedgerTampered, LedgerUnreadable
from access.ledger.ledger import DATABASE, Ledger
from access.ledger.mounts import network_file_system

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:35 / /srv/data rw shared:2 - nfs4 filer:/data rw,vers=4.2
41 40 8:2 / /srv/data/local rw - xfs /dev/sdb1 rw
42 22 0:36 / /mnt/our\040share rw - cifs //nas/share rw
43 22 0:37 / /mnt/over rw - nfs old:/x rw
44 22 8:3 / /mnt/over rw - ext4 /dev/sdc1 rw
45 22 0:38 / /home/ann/far rw - fuse.sshfs ann@host: rw
not a line
"""
ANSWER = Draft("search.answered", "sheriff", {"k": 20})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Place(tmp_path).create([ANSWER])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/lib/afterfact", None),
        ("/srv/data/home", ("/srv/data", "nfs4")),
        ("/srv/data", ("/srv/data", "nfs4")),
        ("/srv/database/home", None),
        ("/srv/data/local/home", None),
        ("/mnt/our share/home", ("/mnt/our share", "cifs")),
        ("/mnt/over/home", None),
        ("/home/ann/far/home", ("/home/ann/far", "fuse.sshfs")),
    ],
)
def test_the_longest_mount_point_says_whether_it_is_a_network(path: str, found: tuple[str, str] | None) -> None:
    assert network_file_system(path, MOUNTS) == found


def test_a_ledger_on_a_network_file_system_is_refused(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "lies_on_network", lambda _path: ("/srv", "nfs4"))
    with pytest.raises(LedgerUnreadable, match=r"network file system \(nfs4, mounted at /srv\).*or use PostgreSQL"):
        Ledger(tmp_path).head()


def test_commits_are_synced_and_entries_refuse_change(ledger: Ledger) -> None:
    with ledger._store.transaction() as session:
        assert [session.rows(f"PRAGMA {name}")[0][0] for name in ("synchronous", "journal_mode", "secure_delete")] == [
            2,
            "truncate",
            1,
        ]
    plain = sqlite3.connect(ledger.where)
    for statement in ("UPDATE entries SET subject = 'x'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.DatabaseError, match="never changed"):
            plain.execute(statement)
    plain.close()


def test_a_lost_database_is_not_made_anew(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / DATABASE).unlink()
    with pytest.raises(LedgerAbsent, match="put it back from a backup"):
        Ledger(tmp_path)
    with pytest.raises(LedgerError):
        ledger.head()
    assert not (tmp_path / DATABASE).exists()


def test_a_file_put_in_its_place_is_seen_by_who_has_it_open(ledger: Ledger, tmp_path: Path) -> None:
    shutil.copy(tmp_path / DATABASE, tmp_path / "yesterday")
    ledger.append_decided(lambda _view: [ANSWER])
    (tmp_path / "yesterday").rename(tmp_path / DATABASE)
    with pytest.raises(LedgerTampered, match="older copy was put back"):
        ledger.append_decided(lambda _view: [ANSWER])


def test_a_file_that_is_no_database_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(LedgerUnreadable, match="nothing is answered"):
        Ledger(tmp_path).head()


def test_two_places_of_one_ledger_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger.url").write_text("postgresql://service@db/ledger")
    with pytest.raises(LedgerUnreadable, match=r"holds both ledger\.sqlite and ledger\.url"):
        Ledger(tmp_path)


def test_a_ledger_of_format_1_is_refused_as_an_older_one(ledger: Ledger, tmp_path: Path) -> None:
    body = json.dumps({"format": 1})
    place = Place(tmp_path)
    place.tamper("PRAGMA user_version = 0", f"UPDATE entries SET body = '{body}' WHERE number = 1", "DROP TABLE traces")
    with pytest.raises(LedgerUnreadable, match="written by an older Afterfact, format 1, this one reads 2"):
        Ledger(tmp_path).head()


def test_rules_are_read_from_where_they_lie_together(ledger: Ledger) -> None:
    with ledger._store.transaction() as session:
        plan = session.rows(f"EXPLAIN QUERY PLAN {ledger._reader._rules_between}", (0, 10))
    assert "USING COVERING INDEX entries_rules" in str(plan)


def test_without_that_index_they_are_read_all_the_same(ledger: Ledger, tmp_path: Path) -> None:
    other = "CREATE INDEX entries_rules ON entries (number) WHERE type IN ('ledger.created')"
    for statements in ([], [other]):
        Place(tmp_path).tamper("DROP INDEX IF EXISTS entries_rules", *statements)
        assert Ledger(tmp_path).read(lambda view: [entry.number for entry in view.rules]) == [1]


def test_a_ledger_that_nobody_holds_any_more_leaves_no_file_open(ledger: Ledger, tmp_path: Path) -> None:
    def held_open() -> list[str]:
        held = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
        return [path for path in held if path.startswith(str(tmp_path))]

    ledger.head()
    gc.collect()
    before = held_open()
    for _ in range(3):
        Ledger(tmp_path).head()
    gc.collect()
    assert held_open() == before
