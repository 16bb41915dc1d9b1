"""The encrypted port: for clients that refuse plain sockets."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from exchange.__main__ import EXIT_USAGE, main
from exchange.server import Options
from tests.exchange_rig import Stream, run, running, short_tape, tape_of

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl to make a certificate with"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate for this host and its key."""
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {chain}"
    command += " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), check=True, capture_output=True)
    return chain, key


@needs_openssl
def test_requests_and_streams_work_over_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))

    async def test() -> None:
        tape = tape_of(short_tape(tmp_path / "a", tail_ms=60_000))
        async with running(tape, Options(tls=server, tls_port=0)) as exchange:
            plain, encrypted = exchange.exchange.ports
            assert plain == exchange.port
            url = f"wss://127.0.0.1:{encrypted}/public/ws/btcusdt@bookTicker"
            stream = Stream(await connect(url, ssl=trusting, compression=None))
            assert (await stream.next())["e"] == "bookTicker"
            order = {"stream": "btcusdt@bookTicker", "text": '{"n":{n}}', "timeout_ms": 5}
            assert (await exchange.rest().practice("/practice/probe", order)).status == 200
            while "n" not in (frame := await stream.next()):
                assert frame["e"] == "bookTicker"
            await stream.close()

    run(test())


def test_certificate_is_read_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tape = short_tape(tmp_path / "a.txt")
    words = ["--port", "0", "--tape", str(tape), "--tls-port", "0"]
    assert main(words) == EXIT_USAGE
    assert "--tls-certificate" in capsys.readouterr().err
    broken = tmp_path / "broken.pem"
    broken.write_text("nonsense")
    assert main([*words, "--tls-certificate", str(broken)]) == EXIT_USAGE
    assert "broken.pem" in capsys.readouterr().err
