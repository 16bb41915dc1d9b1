"""S3 as moto plays it on this machine, and a bucket of it: a fixture to import."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

_numbers = itertools.count(1)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str, Any]]:
    """Serve S3 on this machine; yield its address, a bucket and a client of another library."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    import boto3

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "practice")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=address, region_name="eu-central-1")
    where = {"LocationConstraint": "eu-central-1"}
    bucket = f"tapes-{next(_numbers)}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    yield address, bucket, client
    server.stop()
