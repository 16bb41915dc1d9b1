"""What a run ends with: its totals, its latencies, and whether the venue's books agree.

Runs in main after the roles have stopped, so numpy may be imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.domain.codes import TradingState
from engine.processes.agreement import Agreement, compare
from engine.processes.practice import PRACTICE_KEY, PracticeError

if TYPE_CHECKING:
    from engine.processes.engine_run import EngineRun

LEDGER_PATH = f"/practice/ledger?account={PRACTICE_KEY}"


def summarise(run: EngineRun, played_s: float | None) -> dict[str, Any]:
    """Return the object that `aegis run --json` ends with.

    Args:
        run: an engine whose roles have stopped.
        played_s: how long it had its market; None at an exchange of our own whose market never
            began: there are no books to compare.
    """
    board = run.board
    counts = board.counts()
    agreement = _agreement(run) if played_s is not None else None
    elapsed_s = played_s or 0.0
    state = TradingState(run.parts().control.trading_state())
    return {
        "seconds": round(elapsed_s, 3),
        "source": run.source,
        "records": counts["records"],
        "records_per_s": round(counts["records"] / max(elapsed_s, 1e-3), 1),
        "decisions": counts["decisions"],
        "exits": counts["exits"],
        "orders": counts["orders"],
        "fills": counts["fills"],
        "refusals": board.refusals(),
        "rejected_records": board.rejected_records(),
        "realised_pnl": board.pnl()["realised"],
        "lag_us": board.latency_us()["lag"],
        "tick_to_order_us": board.latency_us()["tick_to_order"],
        "exchange_agrees": agreement.agrees if agreement is not None else None,
        "compared": agreement.compared if agreement is not None else {},
        "differences": list(agreement.differences) if agreement is not None else [],
        "trading_state": state.name,
        "journal": f"{run.config.state_dir}/journal/{run.config.session_id}",
    }


def table(summary: dict[str, Any]) -> str:
    """Return the summary as a person reads it."""
    lag, order = summary["lag_us"], summary["tick_to_order_us"]
    lines = [
        "",
        f"ran {summary['seconds']:.0f} s on {summary['source']}",
        f"  records          {summary['records']:>12,}   {summary['records_per_s']:,.0f} a second",
        f"  decisions        {summary['decisions']:>12,}   entries; {summary['exits']:,} exits",
        f"  orders           {summary['orders']:>12,}",
        f"  fills            {summary['fills']:>12,}",
        f"  realised PnL     {summary['realised_pnl']:>+12.4f}   after fees, USDT",
        _latency("lag", lag),
        _latency("tick to order", order),
    ]
    lines += _reasons("refused by risk", summary["refusals"])
    lines += _reasons("rejected records", summary["rejected_records"])
    if summary["exchange_agrees"] is not None:
        was_compared = any(summary["compared"].values())
        word = "agree" if summary["exchange_agrees"] else "DIFFER" if was_compared else "unproven"
        compared = ", ".join(f"{number} {what}" for what, number in summary["compared"].items())
        lines.append(
            f"  books            {word:>12}   engine and exchange: {compared or 'nothing'}"
        )
        lines += [f"    {difference}" for difference in summary["differences"][:20]]
    lines.append(f"  journal          {summary['journal']}")
    return "\n".join(lines)


def _latency(title: str, found: dict[str, float]) -> str:
    return (
        f"  {title:<16} {found['p50']:>12,.1f}   us p50; p99 {found['p99']:,.1f}, "
        f"p99.9 {found['p999']:,.1f}, max {found['max']:,.1f}; count {found['count']:,}"
    )


def _reasons(title: str, found: dict[str, int]) -> list[str]:
    if not found:
        return []
    listed = sorted(found.items(), key=lambda item: -item[1])
    return [
        f"  {title:<16} {sum(found.values()):>12,}   " + ", ".join(f"{k} {n:,}" for k, n in listed)
    ]


def _agreement(run: EngineRun) -> Agreement | None:
    if run.exchange is None:
        return None  # a real venue was reconciled by the brain; it has no ledger to compare
    directory = Path(run.config.state_dir) / "journal" / run.config.session_id
    try:
        ledger = run.exchange.fetch(LEDGER_PATH)
    except PracticeError as error:
        return Agreement(agrees=False, compared={}, differences=[str(error)])
    return compare(ledger, directory)
