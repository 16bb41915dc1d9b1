"""Scenario files: typed, refused in a sentence, and the same bad day for the same seed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exchange.errors import ApiError, ScenarioError
from exchange.scenario import MAX_STEPS, Scenario, load, scenario_of
from exchange.server import Exchange, Options
from tests.exchange_process import ROOT, fetch, started
from tests.exchange_rig import run, until
from tests.fault_rig import QUOTE_ROUTE, QUOTES, raw_stream, ticking


def written(folder: Path, text: str) -> Path:
    path = folder / "day.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_are_read_with_their_times_and_seeds(tmp_path: Path) -> None:
    text = """
        seed = 7
        [[fault]]
        kind = "accepted_silent"
        stream = "btcusdt@depth"
        [[fault]]
        at_ms = 1500
        kind = "frozen"
        stream = "btcusdt@bookTicker"
        duration_ms = 2000
        [[fault]]
        at_events = 20000
        kind = "disconnect"
        [[fault]]
        at_ms = 9
        kind = "drop"
        stream = "btcusdt@depth"
        seed = 3
    """
    steps = load(written(tmp_path, text)).steps
    assert [(step.at_ms, step.at_events) for step in steps] == [
        (None, None), (1500, None), (None, 20000), (9, None)
    ]  # fmt: skip
    assert steps[0].order["seed"] != steps[1].order["seed"]
    assert "seed" not in steps[2].order  # over at once: there is nothing to draw
    assert steps[3].order["seed"] == 3
    assert load(written(tmp_path, text)) == load(written(tmp_path, text))
    assert load(written(tmp_path, "")) == Scenario()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[[fault]]\nkind = 'frozen'\nstreams = 'x'", "streams"),
        ("[[fault]]\nkind = 'frozen'\nduration_ms = '2 s'", "duration_ms"),
        ("[[fault]]\nkind = 'shape'\nlatency_ms = -1", "latency_ms"),
        ("[[fault]]\nkind = 'melted'", "melted"),
        ("[[fault]]\nkind = 'clear'", "clear"),
        ("[[fault]]\nstream = 'x'", "kind"),
        ("[[fault]]\nkind = 'drop'\nat_ms = -1", "at_ms"),
        ("[[fault]]\nkind = 'drop'\nat_ms = 1\nat_events = 1", "exclude"),
        ("[[fault]]\nkind = 'drop'\n[[fault]]\nkind = 'half_frame'\ncut = 1", "fault 2"),
        ("[[faults]]\nkind = 'drop'", "faults"),
        ("seed = 'seven'", "seed"),
        ("[[fault]\n", "TOML"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_file_row_and_word(tmp_path: Path, text: str, word: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ScenarioError) as refused:
        load(path)
    assert str(path) in str(refused.value)
    assert word in str(refused.value)


def test_files_are_bounded_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        load(tmp_path / "absent.toml")
    rows = [{"kind": "disconnect"}] * (MAX_STEPS + 1)
    with pytest.raises(ScenarioError):
        scenario_of({"fault": rows})
    path = written(tmp_path, "# " + "x" * 1_100_000)
    with pytest.raises(ScenarioError, match="larger"):
        load(path)


def scenario(*rows: dict[str, Any], seed: int = 1) -> Options:
    return Options(scenario=scenario_of({"seed": seed, "fault": list(rows)}))


def test_steps_act_from_the_start_by_time_and_by_events(tmp_path: Path) -> None:
    async def test() -> None:
        options = scenario(
            {"kind": "http_status", "status": 503, "path": "/fapi/v1/time", "count": 1},
            {"kind": "drop", "stream": QUOTES, "count": 3, "at_events": 150},
            {"kind": "disconnect", "stream": QUOTES, "at_ms": 900},
        )
        async with ticking(tmp_path, options) as exchange:
            rest = exchange.rest()
            assert (await rest.open("/fapi/v1/time")).status == 503
            assert (await rest.open("/fapi/v1/time")).status == 200
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            ids = [frame["u"] for frame in await stream.take(100)]
            lost = sorted(set(range(101, ids[-1])) - set(ids))
            assert len(lost) == 3
            assert lost[0] - 100 >= 150 // 3
            assert await stream.closing() == 0
            state = (await rest.open("/practice/state")).json
            assert state["scenario"] == {"steps": 3, "done": 3, "failures": []}
            assert state["faults_injected"] == 3

    run(test())


def test_same_seed_is_the_same_day(tmp_path: Path) -> None:
    async def day(seed: int) -> list[int]:
        row = {"kind": "drop", "stream": QUOTES, "after_frames": 20, "share": 0.2, "count": 15}
        async with ticking(tmp_path, scenario(row, seed=seed)) as exchange:
            stream = await raw_stream(exchange.port, QUOTE_ROUTE)
            ids = [frame["u"] for frame in await stream.take(150)]
            stream.close()
            return ids

    async def test() -> None:
        first = await day(5)
        assert first[:20] == list(range(101, 121))
        assert first == await day(5)
        assert first != await day(6)

    run(test())


def test_orders_are_checked_against_the_market_before_it_plays(tmp_path: Path) -> None:
    async def test() -> None:
        options = scenario({"kind": "gap", "symbol": "NOPEUSDT", "at_ms": 5_000})
        with pytest.raises(ApiError):
            async with ticking(tmp_path, options):
                pass

    run(test())


def test_step_that_fails_while_playing_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        options = scenario({"kind": "listen_key_expired", "account": "nobody"})
        async with ticking(tmp_path, options) as exchange:
            state = (await exchange.rest().open("/practice/state")).json
            assert state["scenario"]["failures"] == ["listen_key_expired: no account 'nobody'"]

    run(test())


def test_what_has_not_acted_is_forgotten_at_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        rows = [{"kind": "disconnect", "at_ms": 60_000}, {"kind": "disconnect", "at_events": 10**9}]
        found: list[Exchange] = []
        async with ticking(tmp_path, scenario(*rows)) as exchange:
            await exchange.rest().practice("/practice/play", {})
            found.append(exchange.exchange)
        assert found[0].scenario.done_count == 0
        await until(lambda: found[0].scenario.view()["failures"] == [])

    run(test())


def test_command_line_plays_a_scenario_and_opens_the_control_port(tmp_path: Path) -> None:
    text = '[[fault]]\nkind = "http_status"\nstatus = 451\nduration_ms = 60000\n'
    path = written(tmp_path, text)
    words = ("--generate", "3", "--scenario", str(path), "--control-port", "0", "--variants")
    with started(*words) as (process, port):
        assert process.stdout is not None
        word, _, control = process.stdout.readline().partition(" ")
        assert word == "ready-control"
        assert fetch(port, "/fapi/v1/exchangeInfo") == {
            "code": 0, "msg": "Service unavailable from a restricted location."
        }  # fmt: skip
        info = fetch(int(control), "/fapi/v1/exchangeInfo")
        assert isinstance(info["symbols"], list)
        assert len(info["symbols"]) > 3
        state = fetch(int(control), "/practice/state")
        assert state["scenario"] == {"steps": 1, "done": 1, "failures": []}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[[fault]]\nkind = 'gap'\nsymbol = 'NOPE'", "nope@depth"), ("seed = []", "seed")],
)
def test_command_line_refuses_a_scenario_in_a_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    command = [sys.executable, "-m", "exchange", "--port", "0", "--generate", "2"]
    command += ["--scenario", str(written(tmp_path, text))]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
