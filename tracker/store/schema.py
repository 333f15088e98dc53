"""Tables of the change store; the same on PostgreSQL and SQLite (spec: tracker 8).

A snapshot is named by its network and block. A subnet belongs to one network, so its rows carry the block alone, and an
analysis reads one table in the order of its key. A seat is a uid of a subnet. `seat_change` holds a row where a
snapshot shows a seat otherwise than the snapshot before, so the state at a snapshot is the newest row of each seat up
to it. `subnet_at` holds what each snapshot says of each subnet beside its seats, and the counts against the snapshot
before.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

#: BIGINT keys do not count up by themselves in SQLite.
_ID = BigInteger().with_variant(Integer, "sqlite")
#: Stands for an unknown registration block of a subnet, so that the pair with the netuid stays unique.
UNKNOWN_REGISTRATION = -1

snapshot = Table(
    "tracker_snapshot",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("network", String, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("block_hash", String),
    Column("time_microseconds", BigInteger, nullable=False),
    Column("finalized", Boolean),
    Column("spec_version", Integer),
    Column("taken_at_microseconds", BigInteger),
    Column("endpoint", String),
    Column("sdk", String),
    UniqueConstraint("network", "block"),
)

hotkey = Table(
    "tracker_hotkey",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("address", String, nullable=False, unique=True),
)

subnet = Table(
    "tracker_subnet",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("network", String, nullable=False),
    Column("netuid", Integer, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    UniqueConstraint("network", "netuid", "registered_at"),
)

#: Counts of one period, in the order of `tracker.classify.Counts`.
COUNTS = (
    "replaced",
    "deregistered",
    "registered",
    "true_replaced",
    "swapped",
    "returned",
    "renumbered",
    "trimmed",
    "appended",
)

subnet_at = Table(
    "tracker_subnet_at",
    metadata,
    Column("subnet_id", _ID, ForeignKey(subnet.c.id), nullable=False),
    Column("at_block", BigInteger, nullable=False),
    # Block of this subnet's own rows: another one only in files of tools that read subnet by subnet.
    Column("block", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("burn_rao", BigInteger),
    Column("knows_registration", Boolean, nullable=False),
    # None where the subnet does not stand in the snapshot before: then nothing is compared.
    Column("period_blocks", BigInteger),
    Column("count_before", Integer),
    Column("corrected", Boolean, nullable=False, default=False),
    *[Column(name, Integer, nullable=False, default=0) for name in COUNTS],
    PrimaryKeyConstraint("subnet_id", "at_block"),
    Index("tracker_subnet_at_block", "at_block"),
    sqlite_with_rowid=False,
)

#: Sums of `subnet_at` by day; see tracker/store/spans.py.
subnet_span = Table(
    "tracker_subnet_span",
    metadata,
    Column("subnet_id", _ID, ForeignKey(subnet.c.id), nullable=False),
    Column("span", BigInteger, nullable=False),
    Column("first_block", BigInteger, nullable=False),
    Column("last_block", BigInteger, nullable=False),
    Column("periods", Integer, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("twice_the_count", BigInteger, nullable=False),
    Column("corrected", Integer, nullable=False),
    Column("largest_count", Integer, nullable=False),
    Column("lowest_burn_rao", BigInteger),
    Column("highest_burn_rao", BigInteger),
    *[Column(name, Integer, nullable=False) for name in COUNTS],
    PrimaryKeyConstraint("subnet_id", "span"),
    Index("tracker_subnet_span_span", "span"),
    sqlite_with_rowid=False,
)

seat_change = Table(
    "tracker_seat_change",
    metadata,
    Column("subnet_id", _ID, ForeignKey(subnet.c.id), nullable=False),
    Column("uid", Integer, nullable=False),
    Column("at_block", BigInteger, nullable=False),
    Column("hotkey_id", _ID, ForeignKey(hotkey.c.id)),
    Column("registered", BigInteger),
    PrimaryKeyConstraint("subnet_id", "uid", "at_block"),
    Index("tracker_seat_change_block", "at_block"),
    sqlite_with_rowid=False,
)

#: Registrations that a walk back found; complete between the blocks that `walk` names.
registration = Table(
    "tracker_registration",
    metadata,
    Column("subnet_id", _ID, ForeignKey(subnet.c.id), nullable=False),
    Column("uid", Integer, nullable=False),
    Column("block", BigInteger, nullable=False),
    Column("hotkey_id", _ID, ForeignKey(hotkey.c.id), nullable=False),
    Column("price_rao", BigInteger),
    PrimaryKeyConstraint("subnet_id", "uid", "block"),
)

walk = Table(
    "tracker_walk",
    metadata,
    Column("network", String, nullable=False),
    Column("after_block", BigInteger, nullable=False),
    Column("until_block", BigInteger, nullable=False),
    PrimaryKeyConstraint("network", "after_block", "until_block"),
)
