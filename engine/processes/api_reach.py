"""The API's application over one run: what it may reach, and who may reach it.

Imported by the thread that imports the routes, never before the socket answers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path

from starlette.applications import Starlette

from engine.config import Config
from engine.processes.chart_page import ChartPage
from engine.processes.commands import Commands
from engine.processes.feed_panel import FeedPanel
from engine.processes.journal_page import JournalPage
from engine.processes.onboard_played import played
from engine.processes.onboarding import Onboarding, Run
from engine.processes.operator import Operator
from engine.processes.outside_orders import OutsideOrders
from engine.processes.panel import Panel
from engine.processes.routes_page import shown_routes
from engine.processes.segments import Segments
from engine.processes.shed import MemoryShed
from engine.processes.status import StatusBoard
from engine.processes.strategy_rows import strategy_rows
from engine.processes.ticks import Ticks
from engine.store.control_audit import ControlAudit
from engine.store.instrument_segment import published_instruments
from engine.store.pages import SessionPages
from engine.web.accounts import Accounts
from engine.web.buttons import Buttons
from engine.web.gate import Gate
from engine.web.reach import Reach
from engine.web.routes import create_app


def create(
    config: Config,
    board: StatusBoard,
    commands: Commands,
    token: str,
    shut_down: Callable[[], None],
    parts: Segments,
) -> Starlette:
    """Return the application.

    Args:
        config: of the run.
        board: what is read.
        commands: what is done.
        token: of this run.
        shut_down: stops the engine in order.
        parts: of shared memory; a person's orders go through them.
    """
    accounts = Accounts(Path(config.home))
    accounts.current()  # read here: the event loop has no time for it
    gate = Gate(config.name, token, accounts, Buttons(Path(config.home)), config.access.api_token)
    app = create_app(_reach(config, board, commands, shut_down, parts), gate)
    # WHY: what is imported stays. To look through all of it took 0.24 s on two busy cores, in which
    # neither a HALT nor the watchdog was heard; it is set aside as it is, without such a look.
    gc.freeze()
    return app


def _reach(
    config: Config,
    board: StatusBoard,
    commands: Commands,
    shut_down: Callable[[], None],
    parts: Segments,
) -> Reach:
    """Return what the routes may reach, with the threads that look for them started."""
    state_dir = Path(config.state_dir)
    names = [row.name for row in strategy_rows(config)]
    panel = Panel(commands, partial(_symbols, board), names, state_dir)
    audit = ControlAudit(state_dir)
    feed = FeedPanel(commands, partial(_symbols, board))
    run = Run(
        board.instruments,
        frozenset(names),
        board.queries.made,
        played,
        audit.record,
        commands.state,
        feed.follow_onboarded,
    )
    onboarding = Onboarding(config, panel, run)
    onboarding.start()
    board.shown.start()
    memory_mb = partial(board.counters.count, "orchestrator", "memory_mb")
    MemoryShed(panel, memory_mb, config.limits.max_memory_mb).start()
    instruments = partial(published_instruments, parts.instruments)
    return Reach(
        board,
        Operator(commands, board, panel, shut_down),
        SessionPages(state_dir / "aegis.db", state_dir.name),
        audit,
        ControlAudit(Path(config.home)),
        config.session_id,
        ChartPage(config).draw,
        JournalPage(config),
        OutsideOrders(
            config, names, commands, parts.rings["events-brain"], parts.executions, instruments
        ),
        lambda: shown_routes(parts.routes, instruments()),
        onboarding,
        feed,
        Ticks(config, commands).submit,
    )


def _symbols(board: StatusBoard) -> list[str]:
    return [row["symbol"] for row in board.instruments()]
