"""What may make an entry smaller than its row's notional: bits of `size_reasons`, in journals.

Never renumbered, never reused. Standard library only, because readers of journals name them.
"""

from __future__ import annotations

BY_KELLY = 1  # more than the row's fraction of Kelly's bet, or of the equity a stop may cost
BY_LOSSES = 2  # a loss limit is near
