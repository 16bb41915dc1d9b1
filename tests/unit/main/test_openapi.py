"""The OpenAPI document says what the API does: schemathesis asks everything in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.web.openapi import document
from engine.web.operations import OPERATIONS, Operation, Scope
from tests.api_rig import TOKEN, Served, serving

DOCUMENT = document()
GIVEN = {"x-aegis-token": TOKEN}
ASKED = [row for row in OPERATIONS if row.name not in {"login", "logout"}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    patch = pytest.MonkeyPatch()
    # What is asked a thousand times is not what these tests are about.
    patch.setattr("engine.web.lockout.Buckets.take", lambda *_: 0.0)
    with serving(tmp_path_factory.mktemp("openapi")) as made:
        yield made
    patch.undo()


def test_every_operation_is_described_once(served: Served) -> None:
    assert served.ask("GET", "/v1/openapi.json").document == DOCUMENT
    ids = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids))
    assert {f"/v1/{row.name}" for row in OPERATIONS} <= set(DOCUMENT["paths"])


def test_each_reference_leads_to_a_schema() -> None:
    names = set(DOCUMENT["components"]["schemas"])

    def walk(node: Any) -> Iterator[str]:  # noqa: ANN401  any JSON
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"].rpartition("/")[2]
            for each in node.values():
                yield from walk(each)
        elif isinstance(node, list):
            for each in node:
                yield from walk(each)

    assert set(walk(DOCUMENT)) <= names


def test_what_needs_no_credential_says_so() -> None:
    for row in OPERATIONS:
        described = DOCUMENT["paths"][f"/v1/{row.name}"][row.method.lower()]
        assert ("security" in described) == (row.scope is not Scope.NONE)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    row=st.sampled_from(ASKED),
    body=ANY_JSON
    | st.fixed_dictionaries({"reason": st.text(max_size=250)}, optional={"who": st.text()}),
)
def test_any_body_has_an_answer_that_is_described(
    served: Served,
    row: Operation,
    body: object,
) -> None:
    sent = body if row.method == "POST" else None
    answer = served.ask(row.method, f"/v1/{row.name}", sent, GIVEN)
    described = DOCUMENT["paths"][f"/v1/{row.name}"][row.method.lower()]["responses"]
    assert str(answer.status) in described, (row.name, answer)


def test_schemathesis_finds_no_answer_that_is_not_described(served: Served) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    schema = schemathesis.openapi.from_url(
        f"http://127.0.0.1:{served.api.port}/v1/openapi.json"
    ).exclude(path_regex="^/v1/(stream|login|logout)$")
    checks = [
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=10, deadline=None, database=None)
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:  # noqa: ANN401  schemathesis' own
            case.headers = {**(case.headers or {}), **GIVEN}
            case.call_and_validate(checks=checks)

        ask()
        count += 1
    assert count == len(DOCUMENT["paths"]) - 3
