"""Commands that run: demo, serve, worker, api, and the demo's town."""

import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from geo_service.commands.options import (
    CONSENT,
    FOLDER,
    LISTEN,
    LOGGING,
    REDIS,
    RULES,
    begin,
    options,
    stopped_by_signal,
)
from geo_service.settings import Settings

_DATA = click.option("--data", type=FOLDER, help="Folder of the embedded servers' data [GEO_DATA, .data].")
_SITE = click.option("--site", type=FOLDER, help="Site to import at the start [GEO_SITE].")
_DEMO_PORT = 8080


@click.command()
@options(REDIS, RULES, CONSENT, [_SITE], LOGGING)
def worker(**given: Any) -> None:
    """Ingest, fold, decide and deliver: everything but HTTP."""
    settings = begin(given)
    from geo_service.wiring import run_worker

    _import_if_given(settings)
    run_worker(settings)


@click.command()
@options(REDIS, CONSENT, LISTEN, [_SITE], LOGGING)
def api(**given: Any) -> None:
    """HTTP: the API, the event stream and the dashboard."""
    settings = begin(given)
    from geo_service.wiring_api import run_api

    _import_if_given(settings)
    run_api(settings)


def _import_if_given(settings: Settings) -> None:
    if settings.site is None:
        return
    from geo_service.commands.site import load_site
    from geo_service.storage.connection import connect
    from geo_service.wiring import import_site, require

    import_site(connect(require(settings.redis, "redis")), settings, load_site(settings.site))


@click.command()
@options(REDIS, RULES, CONSENT, LISTEN, [_DATA, _SITE], LOGGING)
def serve(**given: Any) -> None:
    """Run the service on one machine; without URLs on an embedded broker and store."""
    settings = begin(given)
    from geo_service.supervision import running, watch

    with running(settings) as service:
        found = service.settings
        for note in service.notes:
            click.echo(note, err=True)
        click.echo(f"dashboard and API: http://{found.host}:{found.port}/", err=True)
        click.echo(f"a login for it:    geo-service keys person NAME --role manager --redis {found.redis}", err=True)
        watch(service, None)


@click.command()
@options(LISTEN, [_DATA], LOGGING)
@click.option("--seconds", type=float, help="Stop by itself after this long.")
@click.option("--phones", type=int, default=300, show_default=True, help="How many shoppers carry one.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, another day in town.")
def demo(seconds: float | None, phones: int, seed: int, **given: Any) -> None:
    """A simulated town on embedded servers, and its dashboard. Ctrl-C ends it.

    Nothing is kept and nothing else is touched: its data lies in a temporary folder, unless --data names one.
    """
    began = time.monotonic()
    from geo_service.simulator.demo_site import write_demo_site
    from geo_service.supervision import free_port, running, start, watch

    folder = given["data"] or Path(tempfile.mkdtemp(prefix="geo-service-demo-"))
    settings = begin({"log_level": "warning", **{name: value for name, value in given.items() if value is not None}})
    port = settings.port if given["port"] is not None else free_port(settings.host, _DEMO_PORT)
    site = folder / "site"
    settings = msgspec.structs.replace(settings, redis=None, mqtt=None, data=folder, site=site, port=port)
    try:
        write_demo_site(site, datetime.now(UTC))
        with running(settings) as service:
            found = service.settings
            password, key = _demo_credentials(found)
            town = [
                "town",
                "--mqtt",
                str(found.mqtt),
                "--seed",
                str(seed),
                "--phones",
                str(phones),
                "--site",
                str(site),
            ]
            start(service.nursery, "town", town)
            for note in service.notes:
                click.echo(note, err=True)
            click.echo(f"\n  dashboard   http://{found.host}:{found.port}/\n  login       demo / {password}")
            click.echo(f"  API key     {key}\n  broker      {found.mqtt}\n")
            click.echo(f"ready after {time.monotonic() - began:.1f} s; Ctrl-C ends it", err=True)
            watch(service, seconds)
    finally:
        if given["data"] is None:
            shutil.rmtree(folder, ignore_errors=True)


def _demo_credentials(settings: Settings) -> tuple[str, str]:
    """A manager's password and a secret key for this demo."""
    import secrets

    from geo_service.storage.accounts import Accounts
    from geo_service.storage.connection import connect
    from geo_service.storage.keys import Keys

    clock = time.time_ns
    accounts = Accounts(connect(str(settings.redis)), lambda: clock() // 1_000_000, keys=Keys(settings.prefix))
    password = secrets.token_urlsafe(9)
    accounts.put_person("demo", "manager", password)
    return password, accounts.create_key("secret", note="demo")[1]


@click.command(hidden=True)
@click.option("--mqtt", required=True)
@click.option("--seed", type=int, default=1)
@click.option("--phones", type=int, default=300)
@click.option("--speed", type=float, default=8.0)
@click.option("--site", "folder", type=FOLDER)
def town(mqtt: str, seed: int, phones: int, speed: float, folder: Path | None) -> None:
    """The demo's town, publishing to a broker until told to stop."""
    from geo_service.simulator.live import run
    from geo_service.simulator.scenario import DEMO

    with stopped_by_signal() as stop:
        run(mqtt, seed=seed, phones=phones, speed=speed, stop=stop, site=folder, scenario=DEMO)


COMMANDS = [demo, serve, worker, api, town]
