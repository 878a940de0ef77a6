"""The ledger's tables, the same in every database."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, MetaData, Table, Text

from access.ledger.chain import RULE_TYPES

_Number = BigInteger().with_variant(Integer, "sqlite")
_Text = Text().with_variant(Text(collation="C"), "postgresql")

METADATA = MetaData()

IS_RULE = f"type IN ({', '.join(repr(one) for one in sorted(RULE_TYPES))})"
"""The condition on entries that rule entries fulfil; spelt alike in an index and in a query, which so may use it."""

ENTRIES = Table(
    "entries",
    METADATA,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("time", _Text, nullable=False),
    Column("type", _Text, nullable=False),
    Column("subject", _Text, nullable=False),
    Column("body", _Text, nullable=False),
    Column("previous", _Text, nullable=False),
    Column("rule_number", _Number, nullable=False),
    Column("rule_digest", _Text, nullable=False),
    Column("mac", _Text, nullable=False),
    Index("entries_by_type", "type", "number"),
    Index("entries_by_subject", "subject", "number"),
)

DETAILS = Table(
    "details",
    METADATA,
    Column("entry", _Number, primary_key=True, autoincrement=False),
    Column("salt", _Text, nullable=False),
    Column("body", _Text, nullable=False),
)

TRACES = Table(
    "traces",
    METADATA,
    Column("tag", _Text, primary_key=True),
    Column("entry", _Number, primary_key=True, autoincrement=False),
    Index("traces_by_entry", "entry"),
    sqlite_with_rowid=False,
)

HEAD = Table(
    "head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("format", Integer, nullable=False),
    CheckConstraint("id = 1"),
)
"""One row that PostgreSQL's appenders lock before they read. SQLite locks the whole file and has no such table."""
