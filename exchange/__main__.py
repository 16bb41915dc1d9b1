"""Start a practice exchange: `python -m exchange --port P [--tape PATH ... | --generate N]`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from exchange.clock import UNLIMITED
from exchange.errors import ApiError, LedgerFileError, ListenError, ScenarioError, TapeError
from exchange.events import EventSource
from exchange.history import HISTORY_CAPACITY
from exchange.keys import is_ed25519, public_key
from exchange.limits import Limits
from exchange.scenario import load
from exchange.server import Exchange, Options
from exchange.symbols import parse_money

EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
MIN_SPEED = 0.1
MAX_SPEED = 1e6
MAX_INSTRUMENTS = 500
PORTS = (0, 65_535)
COUNTS = (1, 10**9)
ACCOUNT_HELP = "a further account; SECRET may be ed25519: and the Base64 of a public key (DER)"
BOUNDS: dict[str, tuple[float, float]] = {
    "port": PORTS,
    "tls_port": PORTS,
    "control_port": PORTS,
    "names_port": PORTS,
    "history": COUNTS,
    "seed": (0, 2**63 - 1),
    "rate": (0.1, 1e7),
    "start_ms": (0, 8 * 10**12),  # as nanoseconds it fits 64 bits
    "weight_limit": COUNTS,
    "order_limit_10s": COUNTS,
    "order_limit_1m": COUNTS,
}


def parser() -> argparse.ArgumentParser:
    """Return the command line's description."""
    made = argparse.ArgumentParser(
        prog="exchange",
        description="A practice exchange that speaks the Binance USD-M wire protocol.",
    )
    _add_ports(made)
    _add_market(made)
    _add_accounts(made)
    made.add_argument("--scenario", metavar="FILE", help="faults by time or events, in TOML")
    made.add_argument(
        "--follow-stdin", action="store_true", help="stop when standard input is closed"
    )
    return made


def _add_ports(made: argparse.ArgumentParser) -> None:
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    made.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks one")
    made.add_argument("--control-port", type=int, help="a further port that no fault reaches")
    made.add_argument("--names-port", type=int, help="a name server that stands in for DNS")
    made.add_argument("--tls-port", type=int, help="listen with TLS on this port too")
    made.add_argument("--tls-certificate", metavar="PEM", help="certificate chain for --tls-port")
    made.add_argument("--tls-key", metavar="PEM", help="its private key")


def _add_market(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--tape", nargs="+", metavar="PATH", help="tapes or captures, or a folder of them"
    )
    made.add_argument("--generate", type=int, metavar="N", help="generate N instruments (1-500)")
    made.add_argument("--seed", type=int, default=1, help="seed of the generated market (1)")
    made.add_argument("--rate", type=float, help="generated messages per second over all")
    made.add_argument("--speed", default="1", metavar="X|max", help="0.1 and up, or max (1)")
    made.add_argument("--loop", action="store_true", help="play the tape over and over")
    made.add_argument("--start-ms", type=int, help="venue time of the first event (now)")
    made.add_argument("--autostart", action="store_true", help="play before anyone subscribes")
    made.add_argument("--hold", action="store_true", help="play only after POST /practice/play")
    made.add_argument(
        "--variants", action="store_true", help="list symbols a discovery must pass over"
    )
    made.add_argument(
        "--history",
        type=int,
        default=HISTORY_CAPACITY,
        metavar="N",
        help=f"aggregated trades kept for requests ({HISTORY_CAPACITY})",
    )


def _add_accounts(made: argparse.ArgumentParser) -> None:
    made.add_argument("--key", default="practice", help="API key (practice)")
    made.add_argument("--secret", default="practice", help="API secret (practice)")
    made.add_argument(
        "--account", action="append", default=[], metavar="KEY:SECRET", help=ACCOUNT_HELP
    )
    made.add_argument("--balance", default="10000", help="USDT each account starts with (10000)")
    made.add_argument("--weight-limit", type=int, default=2_400, help="request weight per minute")
    made.add_argument("--order-limit-10s", type=int, default=300, help="orders per 10 seconds")
    made.add_argument("--order-limit-1m", type=int, default=1_200, help="orders per minute")
    made.add_argument("--ledger", metavar="FILE", help="read accounts at start, write at stop")


def check_numbers(arguments: argparse.Namespace) -> None:
    """Refuse a number that no market can be played with.

    Raises:
        ValueError: with a sentence naming the argument.
    """
    for name, (least, most) in BOUNDS.items():
        number = getattr(arguments, name)
        if number is not None and not least <= number <= most:
            option = name.replace("_", "-")
            message = f"--{option} {number}: expected {least:,} to {most:,}"
            raise ValueError(message)


def tls_of(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    """Return what the encrypted port needs, or None without one.

    Raises:
        ValueError: when the certificate is missing or cannot be used.
    """
    if arguments.tls_port is None:
        return None
    if not arguments.tls_certificate:
        message = "--tls-port needs --tls-certificate"
        raise ValueError(message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(arguments.tls_certificate, arguments.tls_key)
    except (OSError, ssl.SSLError) as fault:
        message = f"--tls-certificate {arguments.tls_certificate}: {fault}"
        raise ValueError(message) from fault
    return context


def options_of(arguments: argparse.Namespace) -> Options:
    """Return the exchange's options from the command line.

    Raises:
        ScenarioError: when the scenario cannot be played.
        ValueError: with a sentence naming the argument.
    """
    check_numbers(arguments)
    speed = UNLIMITED
    if arguments.speed != "max":
        try:
            speed = float(arguments.speed)
        except ValueError:
            speed = -1.0
        if not MIN_SPEED <= speed <= MAX_SPEED:
            message = f"--speed {arguments.speed}: expected {MIN_SPEED} to {MAX_SPEED:,.0f}, or max"
            raise ValueError(message)
    accounts = [(arguments.key, arguments.secret)]
    for text in arguments.account:
        key, separator, secret = text.partition(":")
        if not key or not separator or not secret:
            message = f"--account {text}: expected KEY:SECRET"
            raise ValueError(message)
        accounts.append((key, secret))
    for _, secret in accounts:
        if is_ed25519(secret):
            public_key(secret)
    try:
        balance = parse_money(arguments.balance)
    except ApiError:
        balance = -1
    if balance < 0:
        message = f"--balance {arguments.balance}: expected an amount of USDT"
        raise ValueError(message)
    return Options(
        speed=speed,
        start_ms=arguments.start_ms,
        loop_tape=arguments.loop,
        autostart=arguments.autostart,
        hold=arguments.hold,
        balance=balance,
        accounts=accounts,
        limits=Limits(arguments.weight_limit, arguments.order_limit_10s, arguments.order_limit_1m),
        ledger_path=None if arguments.ledger is None else Path(arguments.ledger),
        scenario=None if arguments.scenario is None else load(Path(arguments.scenario)),
        control_port=arguments.control_port,
        names_port=arguments.names_port,
        variants=arguments.variants,
        history=arguments.history,
        tls_port=arguments.tls_port,
        tls=tls_of(arguments),
    )


def source_of(arguments: argparse.Namespace) -> EventSource:
    """Return the tape or the generator the command line asks for.

    Raises:
        ValueError: when the arguments contradict each other.
        TapeError: when a tape cannot be used.
    """
    if arguments.tape and arguments.generate is not None:
        message = "--tape and --generate exclude each other"
        raise ValueError(message)
    if arguments.tape:
        from exchange.recorded import open_source

        return open_source(arguments.tape)
    count = 2 if arguments.generate is None else arguments.generate
    if not 1 <= count <= MAX_INSTRUMENTS:
        message = f"--generate {count}: expected 1 to {MAX_INSTRUMENTS}"
        raise ValueError(message)
    from exchange.generator import Generator

    return Generator(count, arguments.seed, arguments.rate)


def follow_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` when whoever holds the other end of standard input is gone."""
    descriptor = sys.stdin.fileno()

    def look() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, look)


async def serve(exchange: Exchange, host: str, port: int, *, follow: bool) -> None:
    """Run until a signal, or the end of standard input where it is followed, asks to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if follow:
        follow_stdin(loop, stop)
    bound = await exchange.listen(host, port)
    sys.stdout.write(f"ready {bound}\n")
    if len(exchange.ports) > 1:
        sys.stdout.write(f"ready-tls {exchange.ports[1]}\n")
    if exchange.control_port:
        sys.stdout.write(f"ready-control {exchange.control_port}\n")
    if exchange.names is not None:
        sys.stdout.write(f"ready-names {exchange.names.port}\n")
    sys.stdout.flush()
    exchange.prepare()
    # Events are many short-lived tuples: fewer collections, and none over what start-up left.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    await stop.wait()
    await exchange.close()


def main(words: Sequence[str] | None = None) -> int:
    """Run a practice exchange and return its exit code."""
    arguments = parser().parse_args(words)
    try:
        options = options_of(arguments)
        exchange = Exchange(source_of(arguments), options)
    except (ScenarioError, ValueError) as fault:
        sys.stderr.write(f"exchange: {fault}\n")
        return EXIT_USAGE
    except ApiError as fault:
        sys.stderr.write(f"exchange: --scenario {arguments.scenario}: {fault.message}\n")
        return EXIT_USAGE
    except (LedgerFileError, TapeError) as fault:
        sys.stderr.write(f"exchange: {fault}\n")
        return EXIT_ENVIRONMENT
    try:
        served = serve(exchange, arguments.host, arguments.port, follow=arguments.follow_stdin)
        uvloop.run(served)
    except (LedgerFileError, ListenError) as fault:
        sys.stderr.write(f"exchange: {fault}\n")
        return EXIT_ENVIRONMENT
    return 0


if __name__ == "__main__":
    sys.exit(main())
