"""Who was forgotten, by keyed hashes, which calls are erased, receipts; and what a connection's pages must know of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

KINDS = "kind IN ('sync', 'repair', 'replay', 'rebuild')"
KINDS_NOW = "kind IN ('sync', 'repair', 'replay', 'rebuild', 'erase')"
KIND = "What the run did: sync, repair (etl audit --repair), replay (etl replay) or rebuild (etl rollups rebuild)"
KIND_NOW = (
    "What the run did: sync, repair (etl audit --repair), replay (etl replay), rebuild (etl rollups rebuild) or erase "
    "(etl forget, and what erase_calls_after and erase_transcripts_after say)"
)

ERASURES = "How often somebody was erased: it moves with every erasure, so that a page that is being read takes notice"
HASH = "HMAC-SHA-256 of the number or address in its one form, with warehouse.erasure_key; says nothing without it"
PROOF = "A keyed hash of words that everybody knows: it tells another key from the right one, and nothing else"
ASKED = "What was to be forgotten: phone, email, call, or list (etl forget --from). Never which"
FINISHED = "When all that was held had been gone through; null: it was not, and is to be run again"
OTHERS = "Rows of people, numbers, agents and the program's own that were cut"
AGES = {
    "erase_calls_before": "Calls before this instant are erased by their age, also when they are read again",
    "calls_erased_before": "Up to which instant what is held of them has been gone through",
    "erase_words_before": "The same for what was said in calls: transcripts, messages, recordings",
    "words_erased_before": "Up to which instant what is held of that has been gone through",
}


def upgrade() -> None:
    """Make the tables and columns; nobody was forgotten, and nothing is erased by its age."""
    op.add_column("connections", _number("erasures", ERASURES), schema="sync")
    op.add_column(
        "connections", _number("erasures_done", "Up to which of these what is held has been gone through"), schema="sync"
    )
    for name, comment in AGES.items():
        op.add_column("connections", _instant(name, comment), schema="sync")
    _take_on_kinds(KINDS_NOW, KIND_NOW, KIND)
    op.create_table(
        "erasure_key",
        sa.Column("proof", sa.LargeBinary(), nullable=False, comment=PROOF),
        sa.PrimaryKeyConstraint("proof", name=op.f("erasure_key_pkey")),
        schema="sync",
        comment="One row, once something was forgotten: how warehouse.erasure_key is known, which stands in no table",
    )
    op.create_table(
        "erasures",
        sa.Column("hash", sa.LargeBinary(), nullable=False, comment=HASH),
        sa.Column("kind", sa.Text(), nullable=False, comment="phone or email"),
        _instant("erased_at", "When it was first asked for", nullable=False),
        sa.CheckConstraint("kind IN ('phone', 'email')", name=op.f("erasures_kind_check")),
        sa.PrimaryKeyConstraint("hash", name=op.f("erasures_pkey")),
        schema="sync",
        comment="One row per phone number or e-mail address that was forgotten: its keyed hash keeps it from coming back",
    )
    op.create_table(
        "erased_calls",
        sa.Column("connection", sa.Text(), nullable=False, comment="The configured account that the call was read from"),
        sa.Column("call_id", sa.Text(), nullable=False, comment="The id of the call at its provider"),
        _instant("erased_at", "When it was erased", nullable=False),
        sa.Column(
            "deletion",
            sa.Text(),
            comment="Whether it is to be deleted at the provider too: asked or done; null: it is not",
        ),
        sa.CheckConstraint("deletion IN ('asked', 'done')", name=op.f("erased_calls_deletion_check")),
        sa.PrimaryKeyConstraint("connection", "call_id", name=op.f("erased_calls_pkey")),
        schema="sync",
        comment="One row per call that is erased, itself or because somebody erased appears in it, and stays so",
    )
    op.create_table(
        "erasure_receipts",
        sa.Column("receipt", sa.Text(), nullable=False, comment="The name of the receipt: a random one"),
        sa.Column("asked", sa.Text(), nullable=False, comment=ASKED),
        _instant("asked_at", "When it was asked for", nullable=False),
        _instant("finished_at", FINISHED),
        _number("calls", "Calls that were cut to ids, times, status and measures"),
        _number("versions", "Superseded versions of calls that were cut"),
        _number("rejects", "Rejected records whose text was cut"),
        _number("others", OTHERS),
        _number("deleted", "Calls that were deleted at their provider (--at-provider)"),
        sa.PrimaryKeyConstraint("receipt", name=op.f("erasure_receipts_pkey")),
        schema="sync",
        comment="One row per etl forget: what was done, without a personal datum",
    )


def downgrade() -> None:
    """Drop them: who was forgotten may come back then."""
    for name in ("erasure_receipts", "erased_calls", "erasures", "erasure_key"):
        op.drop_table(name, schema="sync")
    op.execute("DELETE FROM sync.runs WHERE kind = 'erase'")
    _take_on_kinds(KINDS, KIND, KIND_NOW)
    for name in (*AGES, "erasures_done", "erasures"):
        op.drop_column("connections", name, schema="sync")


def _take_on_kinds(kinds: str, comment: str, before: str) -> None:
    op.drop_constraint(op.f("runs_kind_check"), "runs", schema="sync")
    op.create_check_constraint(op.f("runs_kind_check"), "runs", kinds, schema="sync")
    op.alter_column("runs", "kind", schema="sync", comment=comment, existing_comment=before)


def _number(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment)


def _instant(name: str, comment: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, comment=comment)
