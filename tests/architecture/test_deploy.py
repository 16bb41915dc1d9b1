"""Container, platform and host files: readable, safe by default, and true to the program."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine import exit_codes
from tests.architecture.tree import ROOT, files, text

DRAIN_S_MIN = 30  # three times the engine's own default budget of 10 s
COPIED = re.compile(r"^COPY (?!--from)(?:--\S+ )*(.+)$", flags=re.MULTILINE)


def dockerfile() -> str:
    """Return the Dockerfile's instructions: comments gone, continued lines joined."""
    lines = [line for line in text(Path("Dockerfile")).splitlines() if not line.startswith("#")]
    return re.sub(r" *\\\n *", " ", "\n".join(lines))


def stages() -> list[str]:
    return re.split(r"^(?=FROM )", dockerfile(), flags=re.MULTILINE)[1:]


def test_image_is_built_in_stages_and_keeps_no_compiler() -> None:
    build, run = stages()
    assert "gcc" in build
    assert "gcc" not in run
    assert "pip install" not in run


def test_image_runs_as_a_user_that_is_not_root() -> None:
    users = re.findall(r"^USER (\S+)$", stages()[-1], flags=re.MULTILINE)
    assert users == ["10001:10001"]


def test_image_installs_from_the_lock_only() -> None:
    installs = re.findall(r"pip install (.+?)(?: &&|$)", dockerfile(), flags=re.MULTILINE)
    assert len(installs) == 2
    for install in installs:
        assert "--require-hashes" in install or install == "--no-deps --no-build-isolation ."


def test_image_knows_its_commit() -> None:
    build = stages()[0]
    assert "ARG COMMIT" in build
    assert "/COMMIT" in build
    assert '"engine" / "COMMIT"' in text(Path("engine/version.py"))


def test_image_compiles_the_kernels() -> None:
    assert re.search(r"AEGIS_HOME=/opt/aegis/baked aegis doctor --warm", stages()[0])
    # WHY: the cache is named after the CPU it serves; both stages must name the same one.
    for stage in stages():
        assert "NUMBA_CPU_NAME=generic" in stage


def test_image_starts_under_an_init_in_exec_form() -> None:
    (entrypoint,) = re.findall(r"^ENTRYPOINT (.+)$", dockerfile(), flags=re.MULTILINE)
    assert json.loads(entrypoint)[0] == "/usr/bin/tini"
    (command,) = re.findall(r"^CMD (.+)$", dockerfile(), flags=re.MULTILINE)
    assert json.loads(command) == ["run"]


def test_image_declares_no_volume() -> None:
    # WHY: Railway refuses images that do.
    assert not re.search(r"^VOLUME", dockerfile(), flags=re.MULTILINE)


def test_apt_leaves_nothing_behind() -> None:
    for line in re.findall(r"^RUN (.*apt-get install.*)$", dockerfile(), flags=re.MULTILINE):
        assert "--no-install-recommends" in line
        assert "rm -rf /var/lib/apt/lists/*" in line


def copied() -> list[str]:
    return [name for group in COPIED.findall(dockerfile()) for name in group.split()[:-1]]


def test_everything_copied_exists() -> None:
    assert copied()
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_builder_sees_what_it_copies_and_little_else() -> None:
    lines = text(Path(".dockerignore")).splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert set(copied()) | {"Dockerfile"} == allowed


def test_railway_checks_health_and_waits_for_the_drain() -> None:
    settings = tomllib.loads(text(Path("railway.toml")))
    assert settings["build"] == {"builder": "DOCKERFILE", "dockerfilePath": "Dockerfile"}
    deploy = settings["deploy"]
    assert deploy["healthcheckPath"] == "/health"
    assert deploy["drainingSeconds"] == 60
    assert deploy["numReplicas"] == 1
    assert "startCommand" not in deploy  # it would replace the entry point


TRIES_MAX = 10  # what Railway itself would do; more is no bound worth the name
RESTARTED = {  # platform's policy: the exits it starts again after
    "ALWAYS": lambda _: True,
    "ON_FAILURE": lambda code: code != exit_codes.DONE,
    "NEVER": lambda _: False,
}


def promised() -> tuple[set[int], set[int]]:
    """Return the exits that docs/deployment.md says to restart after, and those for a person."""
    (row,) = re.findall(r"^\| restart \| (.*) \|$", text(Path("docs/deployment.md")), re.MULTILINE)
    again, person = row.split(";")
    return {int(code) for code in re.findall(r"\d", again)}, {
        int(code) for code in re.findall(r"\d", person)
    }


def keeps_promise(policy: str, tries: int | None) -> bool:
    """Return whether a policy restarts what a restart mends, and nothing else without a bound."""
    again, person = promised()
    restarted = {code for code in {exit_codes.DONE, *again, *person} if RESTARTED[policy](code)}
    bounded = tries is not None and 1 <= tries <= TRIES_MAX
    return again <= restarted <= again | person and (bounded or restarted == again)


def test_documented_exits_are_the_programs() -> None:
    again, person = promised()
    assert again == {exit_codes.ROLE_DIED}
    assert person == {exit_codes.USAGE, exit_codes.ENVIRONMENT, exit_codes.HALTED}


def test_platforms_restart_what_a_restart_can_mend_and_nothing_for_ever() -> None:
    deploy = tomllib.loads(text(Path("railway.toml")))["deploy"]
    assert keeps_promise(deploy["restartPolicyType"], deploy.get("restartPolicyMaxRetries"))
    engine = yaml.safe_load(text(Path("deploy/compose.yaml")))["services"]["aegis"]
    policy, _, tries = engine["restart"].partition(":")
    assert keeps_promise(policy.upper().replace("-", "_"), int(tries or 0))
    assert {int(code) for code in unit()["RestartPreventExitStatus"][0].split()} == promised()[1]


@pytest.mark.parametrize(
    ("policy", "tries"), [("ALWAYS", 5), ("NEVER", 5), ("ON_FAILURE", None), ("ON_FAILURE", 99)]
)
def test_a_policy_that_breaks_the_promise_is_found_out(policy: str, tries: int | None) -> None:
    assert not keeps_promise(policy, tries)


def container() -> dict[str, Any]:
    (only,) = json.loads(text(Path("deploy/ecs-task.json")))["containerDefinitions"]
    assert isinstance(only, dict)
    return only


def test_ecs_task_drains_reaps_and_is_not_root() -> None:
    assert container()["linuxParameters"]["initProcessEnabled"] is True
    assert DRAIN_S_MIN <= container()["stopTimeout"] <= 120  # Fargate's maximum
    assert container()["user"] == "10001:10001"


def test_ecs_task_never_waits_for_its_log() -> None:
    options = container()["logConfiguration"]["options"]
    assert options["mode"] == "non-blocking"
    assert "max-buffer-size" in options


def test_ecs_task_keeps_secrets_out_of_the_environment() -> None:
    names = {secret["name"] for secret in container()["secrets"]}
    assert names == {"API_TOKEN", "BINANCE_API_KEY", "BINANCE_API_SECRET", "DATABASE_URL"}
    assert not names & {variable["name"] for variable in container()["environment"]}


def test_ecs_service_never_runs_two_engines() -> None:
    service = json.loads(text(Path("deploy/ecs-service.json")))
    limits = service["deploymentConfiguration"]
    assert (limits["minimumHealthyPercent"], limits["maximumPercent"]) == (0, 100)
    assert service["desiredCount"] == 1


def kubernetes() -> dict[str, Any]:
    documents = list(yaml.safe_load_all(text(Path("deploy/kubernetes/engine/engine.yaml"))))
    return {document["kind"]: document["spec"] for document in documents}


def test_kubernetes_runs_one_pod_that_drains_and_is_not_root() -> None:
    spec = kubernetes()["StatefulSet"]
    assert spec["replicas"] == 1
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= DRAIN_S_MIN
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_kubernetes_has_the_headless_service_that_its_set_names() -> None:
    documents = list(yaml.safe_load_all(text(Path("deploy/kubernetes/engine/engine.yaml"))))
    (service,) = (each for each in documents if each["kind"] == "Service")
    owner = kubernetes()["StatefulSet"]
    assert service["metadata"]["name"] == owner["serviceName"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    labels = owner["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    (container,) = owner["template"]["spec"]["containers"]
    offered = {port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == offered


def test_kubernetes_liveness_does_not_ask_for_the_venue() -> None:
    (only,) = kubernetes()["StatefulSet"]["template"]["spec"]["containers"]
    assert only["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert only["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert only["resources"]["requests"] == only["resources"]["limits"]


def unit() -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for line in text(Path("deploy/aegis.service")).splitlines():
        if "=" in line and not line.startswith("#"):
            name, value = line.split("=", 1)
            settings.setdefault(name, []).append(value)
    return settings


def test_host_unit_stops_main_alone_and_restarts_only_what_a_restart_can_mend() -> None:
    assert unit()["KillMode"] == ["mixed"]
    assert int(unit()["TimeoutStopSec"][0]) >= DRAIN_S_MIN
    assert unit()["Restart"] == ["on-failure"]
    assert unit()["RestartPreventExitStatus"] == ["2 3 4"]
    assert unit()["User"] == ["aegis"]


@pytest.mark.parametrize("name", ["EnvironmentFile", "ExecStart"])
def test_host_unit_uses_absolute_paths(name: str) -> None:
    assert all(value.lstrip("-").startswith("/") for value in unit()[name])


def test_workflow_calls_the_same_script_as_everyone() -> None:
    workflow = yaml.safe_load(text(Path(".github/workflows/ci.yml")))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert any(step.get("run") == ".ci/run" for step in steps)
    assert "make test" in text(Path(".ci/run"))


def test_commit_hooks_download_nothing() -> None:
    hooks = yaml.safe_load(text(Path(".pre-commit-config.yaml")))
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]


def test_scripts_can_be_started() -> None:
    scripts = [
        path for path in files() if (ROOT / path).read_bytes()[:2] == b"#!" and path.suffix != ".py"
    ]
    assert Path(".ci/run") in scripts
    assert [str(path) for path in scripts if not (ROOT / path).stat().st_mode & 0o111] == []
