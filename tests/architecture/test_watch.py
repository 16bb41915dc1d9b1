"""What watches the engine asks for metrics that the engine has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.cli_help import GROUPS
from engine.config_load import ENVIRONMENT
from engine.processes.alerts import KINDS, Severity
from engine.processes.role_counters import PAGES, exposed
from tests.architecture.tree import ROOT, text

METRIC = re.compile(r"\baegis_[a-z0-9_]+")
WATCH = Path("deploy/watch")
OURS = {
    "aegis_build_info",
    "aegis_trading_state",
    "aegis_role_state",
    "aegis_connection_up",
    "aegis_connection_lag_seconds",
}


def names() -> set[str]:
    """Return every metric that an engine shows."""
    found = set(OURS)
    for _, counters, histograms in PAGES.values():
        found |= {exposed(row.name)[0] for row in counters}
        for row in histograms:
            name = f"aegis_{row.name.removesuffix('_ns')}_seconds"
            found |= {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(text(WATCH / "alerts.yaml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def board() -> dict[str, Any]:
    return dict(json.loads(text(WATCH / "board.json")))


def expressions() -> list[str]:
    panels = [target["expr"] for panel in board()["panels"] for target in panel.get("targets", [])]
    return [*panels, *(rule["expr"] for rule in alerts())]


@pytest.mark.parametrize("expression", expressions())
def test_each_expression_asks_for_what_there_is(expression: str) -> None:
    asked = set(METRIC.findall(expression))
    assert asked <= names()
    assert asked or expression.startswith("up{")
    assert expression.count("(") == expression.count(")")


def test_the_expression_of_a_metric_that_is_not_there_is_found_out() -> None:
    with pytest.raises(AssertionError):
        test_each_expression_asks_for_what_there_is("rate(aegis_records_totl[1m])")


def test_each_alert_says_who_is_woken_and_why() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
    for rule in alerts():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")


RESPONSES = {"page": {"P0", "P1"}, "ticket": {"P2"}}
OF_KINDS = {Severity.CRITICAL: {"P0", "P1"}, Severity.WARNING: {"P2"}, Severity.INFO: {"P3"}}


def entries(heading: str) -> str:
    """Return a part of the runbook, up to the next heading."""
    (_, after) = f"\n{text(Path('docs/runbook.md'))}".split(f"\n{heading}\n")
    return re.split(r"\n#+ ", after)[0]


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_names_an_entry_of_the_runbook_that_is_there(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/runbook.md"
    severity = anchor.upper()
    assert "**First:**" in entries(f"### {severity}")
    assert severity in RESPONSES[rule["labels"]["severity"]]
    assert f"| `{rule['alert']}` | {severity} | " in entries("### Prometheus alerts")


def test_the_runbook_knows_no_alert_that_is_not_there() -> None:
    listed = re.findall(r"^\| `(\w+)`", entries("### Prometheus alerts"), flags=re.MULTILINE)
    assert listed == [rule["alert"] for rule in alerts()]


def test_each_kind_of_alert_has_a_response_as_grave_as_itself() -> None:
    for line in entries("## Alerts").splitlines():
        for kind in re.findall(r"`(\w+)`", line.split("|")[1]) if line.startswith("| `") else []:
            (severity,) = re.findall(r"\[(P\d)\]\(#p\d\) \|$", line)
            assert severity in OF_KINDS[KINDS[kind]], kind


@pytest.mark.parametrize("severity", ["P0", "P1", "P2", "P3"])
def test_each_severity_says_who_acts_how_and_what_comes_after(severity: str) -> None:
    said = entries(f"### {severity}")
    for word in ("Who, when", "First", "Then", "Escalate", "After"):
        assert f"- **{word}:**" in said
    (first,) = re.findall(r"\*\*First:\*\* (.*)", said)
    commands = re.findall(r"`aegis (\w+)", first.split(". ")[0])
    assert len(commands) == 3
    assert set(commands) <= {name for names in GROUPS.values() for name in names}


def test_board_says_that_no_model_is_built_as_long_as_none_has_a_metric() -> None:
    of_models = {name for name in names() if name.startswith("aegis_model")}
    (panel,) = (panel for panel in board()["panels"] if panel["title"] == "Models")
    assert (panel["type"] == "text") == (not of_models)
    assert of_models or panel["options"]["content"].startswith("No model is built yet")
    others = [panel for panel in board()["panels"] if panel["type"] != "text"]
    assert all(panel["targets"] for panel in others)


def test_panels_do_not_lie_on_each_other() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        covered = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not covered & cells, panel["title"]
        cells |= covered


def test_compose_drains_keeps_secrets_out_and_stays_on_this_host() -> None:
    services = yaml.safe_load(text(Path("deploy/compose.yaml")))["services"]
    engine = services["aegis"]
    assert int(engine["stop_grace_period"].removesuffix("s")) >= 30
    assert engine["read_only"] is True
    assert engine["cap_drop"] == ["ALL"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        for name, entry in service.get("environment", {}).items():
            if "PASSWORD" in name or "TOKEN" in name:
                assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", entry), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (Path("deploy") / source).name in {path.name for path in watched()}


def test_compose_gives_the_engine_every_variable_there_is() -> None:
    """Once neither venue, keys, switches, limits nor alerts reached it."""
    engine = yaml.safe_load(text(Path("deploy/compose.yaml")))["services"]["aegis"]
    given = engine["environment"]
    ours = {"PORT", "DATABASE_URL", "AEGIS_HOME"}  # of the file itself, and of the image
    for name in set(ENVIRONMENT) - ours:
        assert re.fullmatch(rf"\$\{{{name}:[-?].*\}}", given[name]), name


def watched() -> list[Path]:
    return sorted((ROOT / WATCH).iterdir())


def test_prometheus_reads_with_a_token_from_a_file() -> None:
    (job,) = yaml.safe_load(text(WATCH / "prometheus.yaml"))["scrape_configs"]
    assert set(job["authorization"]) == {"type", "credentials_file"}
    # In a folder that is there before the token: a file mounted too early becomes a folder itself.
    assert job["authorization"]["credentials_file"] == "/etc/prometheus/secret/token"
    services = yaml.safe_load(text(Path("deploy/compose.yaml")))["services"]
    assert "./watch/secret:/etc/prometheus/secret:ro" in services["prometheus"]["volumes"]
    ignored = text(WATCH / "secret/.gitignore").split()
    assert ignored == ["*", "!.gitignore"], "the token is nobody else's"
