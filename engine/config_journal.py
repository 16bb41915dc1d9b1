"""Settings of the journal: what is written down, how hard, how long, and where copies go."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class JournalConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is written down, and how hard."""

    market: Annotated[
        str,
        Meta(pattern="^(all|off)$", description="off: the session cannot be replayed."),
    ] = "all"
    features: Annotated[
        str,
        Meta(
            pattern="^(all|off)$",
            description="The feature vector of every bar that ends, 3 KB each; off: none is kept.",
        ),
    ] = "all"
    feature_rows: Annotated[
        str,
        Meta(
            pattern="^(all|off)$",
            description="Feature vectors as rows of the databases too, 4 KB each; off: in the "
            "journal only.",
        ),
    ] = "off"
    max_bytes: Annotated[
        int, Meta(gt=0, description="Bound of all journals; oldest market segments go first.")
    ] = 10_000_000_000
    durability: Annotated[
        str,
        Meta(
            pattern="^(ring|disk)$",
            description="ring survives kill -9 of any process; disk also the host, at its cost.",
        ),
    ] = "ring"
    archive: Annotated[
        str,
        Meta(
            description="Where closed journal files are copied: a folder, file:// or s3:// URL; "
            "empty: nowhere."
        ),
    ] = ""
    keep_days: Annotated[
        int,
        Meta(
            ge=0,
            description="Days after which an ended session that is archived and taken over goes; "
            "0: none does.",
        ),
    ] = 0
    audit_copy: Annotated[
        str,
        Meta(
            description="Second store of the audit trail: a folder, file:// or s3:// URL; "
            "empty: none."
        ),
    ] = ""
