"""Overlays and Terraform, as far as their own tools go on a machine without a cloud."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config_load import load_config
from tests.architecture.tree import ROOT, text

TERRAFORM = Path("deploy/terraform")
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aegis/{name}-AbCdEf"
SAID = {
    "data.aws_caller_identity.current.account_id": "123456789012",
    "aws_s3_bucket.tapes.bucket": "aegis-tapes-1",
    "var.region": "eu-west-1",
    "var.image": "image:1",
    "var.trading_mode": "live",
    **{
        f'aws_secretsmanager_secret.held["{name}"].arn': ARN.format(name=name)
        for name in ("binance", "database", "api")
    },
}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def overlay(name: str) -> dict[str, Any]:
    command = [tool("kubectl"), "kustomize", str(ROOT / "deploy" / "kubernetes" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "unknown command" in done.stderr:
        pytest.skip("this kubectl has no kustomize")
    assert done.returncode == 0, done.stderr
    return {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}


@pytest.mark.parametrize("name", ["paper", "live"])
def test_an_overlay_keeps_what_makes_the_engine_safe(name: str) -> None:
    made = overlay(name)
    written = {
        document["kind"]: document
        for document in yaml.safe_load_all(text(Path("deploy/kubernetes/engine/engine.yaml")))
    }
    assert {each["metadata"]["namespace"] for each in made.values()} == {f"aegis-{name}"}
    assert made["PodDisruptionBudget"]["spec"] == written["PodDisruptionBudget"]["spec"]
    pod, before = (each["StatefulSet"]["spec"]["template"]["spec"] for each in (made, written))
    (engine,), (engine_before,) = pod["containers"], before["containers"]
    for field in ("securityContext", "terminationGracePeriodSeconds", "volumes"):
        assert pod[field] == before[field]
    for field in (
        "securityContext",
        "resources",
        "livenessProbe",
        "readinessProbe",
        "volumeMounts",
    ):
        assert engine[field] == engine_before[field]


def test_only_the_live_overlay_is_live_and_it_arms_nothing() -> None:
    for name, mode, optional in (("paper", "paper", True), ("live", "live", False)):
        (engine,) = overlay(name)["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        given = {row["name"]: row["value"] for row in engine["env"]}
        assert given["TRADING_MODE"] == mode
        assert not {"ALLOW_ORDERS", "DRY_RUN", "ENABLE_ORDER_EXEC"} & set(given)
        assert engine["envFrom"] == [{"secretRef": {"name": "aegis", "optional": optional}}]


def test_terraform_is_formatted_and_so_can_be_read() -> None:
    command = [tool("terraform"), "fmt", "-check", "-recursive", str(ROOT / TERRAFORM)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def computed(tmp_path: Path, expression: str) -> Any:  # noqa: ANN401  any JSON
    """Return what an expression over the module's own values comes to, by Terraform itself."""
    (block,) = re.findall(
        r"^locals \{$.*?^\}$", text(TERRAFORM / "main.tf"), re.MULTILINE | re.DOTALL
    )
    for name, said in SAID.items():
        block = block.replace(f"${{{name}}}", said).replace(name, json.dumps(said))
    block = block.replace("${path.module}/..", str(ROOT / "deploy"))
    (tmp_path / "main.tf").write_text(block, encoding="utf-8")
    command = [tool("terraform"), f"-chdir={tmp_path}", "console", "-no-color"]
    asked = f"jsonencode({expression})\n"
    done = subprocess.run(
        command, input=asked, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(json.loads(done.stdout))


def test_terraform_names_region_account_image_and_secrets(tmp_path: Path) -> None:
    container = computed(tmp_path, "local.container")
    written = json.loads(text(Path("deploy/ecs-task.json")))["containerDefinitions"][0]
    given = {row["name"]: row["value"] for row in container["environment"]}
    assert given == {row["name"]: row["value"] for row in written["environment"]} | {
        "AWS_REGION": "eu-west-1",
        "S3_BUCKET": "aegis-tapes-1",
        "TRADING_MODE": "live",
    }
    assert (given["ALLOW_ORDERS"], given["DRY_RUN"]) == ("0", "1"), "nothing is armed"
    secrets = {row["name"]: row["valueFrom"] for row in container["secrets"]}
    assert secrets["BINANCE_API_SECRET"] == f"{ARN.format(name='binance')}:api_secret::"
    assert secrets["DATABASE_URL"] == f"{ARN.format(name='database')}:url::"
    assert container["image"] == "image:1"
    same = set(written) - {"environment", "image", "logConfiguration", "secrets"}
    assert {field: container[field] for field in same} == {f: written[f] for f in same}
    assert container["logConfiguration"]["options"]["awslogs-region"] == "eu-west-1"
    left = json.dumps(container).replace("AWS_REGION", "")
    assert not re.search("REGION|ACCOUNT|VERSION", left)


def test_terraform_never_runs_two_engines_and_keeps_the_database_to_itself() -> None:
    main = text(TERRAFORM / "main.tf")
    for field in ("minimumHealthyPercent", "maximumPercent"):
        assert f"local.service.deploymentConfiguration.{field}" in main
    assert re.search(r"publicly_accessible\s+= false", main)
    assert re.search(r"assign_public_ip = false", main)
    assert re.search(r"storage_encrypted\s+= true", main)
    assert len(re.findall(r"block_public_\w+\s+= true", main)) == 2
    assert "password " not in main.replace("manage_master_user_password", "")


def starts(given: dict[str, str]) -> str:
    """Return the state a configuration of a platform's variables would trade in."""
    config = load_config(given | {"AEGIS_HOME": "/h"})
    return f"{config.venue.name} {config.trading_mode}"


def test_what_a_platform_says_is_a_configuration_that_starts() -> None:
    """Once nothing but the command line could name a venue: `live` ended with exit 2 everywhere."""
    keys = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s"}
    task = json.loads(text(Path("deploy/ecs-task.json")))["containerDefinitions"][0]
    of_ecs = {row["name"]: row["value"] for row in task["environment"]} | keys
    assert starts(of_ecs) == "binance paper"
    assert starts(of_ecs | {"TRADING_MODE": "live"}) == "binance live"
    written = yaml.safe_load_all(text(Path("deploy/kubernetes/engine/engine.yaml")))
    (pod,) = [each["spec"]["template"]["spec"] for each in written if each["kind"] == "StatefulSet"]
    env = pod["containers"][0]["env"]
    assert starts({row["name"]: row["value"] for row in env}) == "practice paper"
    live = yaml.safe_load(text(Path("deploy/kubernetes/live/kustomization.yaml")))
    for change in yaml.safe_load(live["patches"][0]["patch"]):
        place = re.fullmatch(r".*/containers/0/env/(\d)/value", change["path"])
        if place:
            env[int(place[1])]["value"] = change["value"]
    assert starts({row["name"]: row["value"] for row in env} | keys) == "binance live"
