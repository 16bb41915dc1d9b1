"""A red button: an address that halts once, and nothing that was not signed here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.web.buttons import FOLDER, KEY_FILE, ButtonError, Buttons
from tests.api_rig import Served, serving
from tests.engine_process import aegis

DAY_S = 86_400.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as made:
        yield made


def made(home: Path, name: str = "desk-red", life_s: float = DAY_S) -> str:
    return Buttons(home).make(name, life_s)


# -- over the API ----------------------------------------------------------------------------------


def test_a_press_halts_once_without_any_credential_and_is_in_the_trail(served: Served) -> None:
    path = f"/v1/press/{made(served.home)}"
    answer = served.ask("POST", path)
    assert (answer.status, answer.document["trading_state"]) == (200, "HALTED")
    assert served.operator.told == [("halt", "button desk-red", "pressed")]
    again = served.ask("POST", path)
    assert (again.status, again.document["error"]) == (409, "this button was pressed already")
    assert len(served.operator.told) == 1
    done, refused = served.audit.rows(-1, 9)
    assert (done["who"], done["what"], done["role"]) == ("button desk-red", "halt", "button")
    assert (refused["what"], refused["done"]) == ("press", False)


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Host": "elsewhere.example"}]
)
def test_a_foreign_page_cannot_press(served: Served, headers: dict[str, str]) -> None:
    path = f"/v1/press/{made(served.home)}"
    assert served.ask("POST", path, headers=headers).status == 403
    assert served.operator.told == []
    assert served.ask("POST", path).status == 200, "it was not used up"


def test_looking_at_an_address_presses_nothing(served: Served) -> None:
    path = f"/v1/press/{made(served.home)}"
    assert served.ask("GET", path).status == 405
    assert served.operator.told == []


def test_guesses_fill_no_disk_and_keep_no_press_back(served: Served) -> None:
    for _ in range(50):
        assert served.ask("POST", "/v1/press/x").status == 403
    assert len(served.audit.rows(-1, 99)) < 10
    assert served.ask("POST", f"/v1/press/{made(served.home)}").status == 200


# -- addresses -------------------------------------------------------------------------------------


@given(place=st.integers(0, 200), other=st.sampled_from("aZ0._-"))
def test_an_address_of_which_one_character_differs_is_none(
    tmp_path_factory: pytest.TempPathFactory, place: int, other: str
) -> None:
    home = tmp_path_factory.getbasetemp()
    address = made(home)
    place %= len(address)
    changed = address[:place] + other + address[place + 1 :]
    if changed != address:
        assert Buttons(home).press(changed).status == 403


@given(st.text(max_size=200))
def test_no_other_text_is_an_address(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    home = tmp_path_factory.getbasetemp()
    made(home)
    assert Buttons(home).press(text).status == 403


def test_an_address_expires_and_is_of_one_home(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    made(tmp_path / "other")
    assert Buttons(tmp_path / "other").press(made(tmp_path)).status == 403
    late = Buttons(tmp_path).press(made(tmp_path, life_s=-1))
    assert (late.status, late.error) == (403, "this button has expired")


def test_a_home_without_its_key_knows_no_button(tmp_path: Path) -> None:
    address = made(tmp_path)
    key = tmp_path / FOLDER / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    for content in (b"", b"short"):
        key.write_bytes(content)
        assert Buttons(tmp_path).press(address).status == 403
    key.unlink()
    assert Buttons(tmp_path).press(address).status == 403


def test_of_many_presses_at_once_one_counts(tmp_path: Path) -> None:
    address = made(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: Buttons(tmp_path).press(address).status, range(40)))
    assert sorted(found) == [200, *[409] * 39]


def test_a_press_that_cannot_be_written_down_halts_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = made(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.web.buttons.os.open", full)
    assert Buttons(tmp_path).press(address).error == ""


def test_presses_that_have_expired_are_forgotten(tmp_path: Path) -> None:
    old = tmp_path / FOLDER / f"used-{'0' * 16}-{int(time.time()) - 5}"
    address = made(tmp_path)
    old.touch()
    Buttons(tmp_path).press(address)
    assert [path.name.startswith("used-0000") for path in old.parent.glob("used-*")] == [False]


@pytest.mark.parametrize("name", ["", "Upper", "a.b", "../x", "a" * 40, "a b"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ButtonError, match="lower-case"):
        made(tmp_path, name)


def test_the_command_prints_an_address_that_counts(tmp_path: Path) -> None:
    done = aegis(tmp_path, "access", "button", "desk-red", "--days", "1")
    assert done.returncode == 0, done.stderr
    path = done.stdout.strip()
    assert path.startswith("/v1/press/desk-red.")
    assert Buttons(tmp_path).press(path.removeprefix("/v1/press/")).name == "desk-red"
    assert aegis(tmp_path, "access", "button", "No Name").returncode == 2
    (tmp_path / "file").write_text("in the way", encoding="ascii")
    assert aegis(tmp_path / "file", "access", "button", "x").returncode == 2
