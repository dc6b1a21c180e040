"""Commands on recordings: replay, record, simulate."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from geo_service.commands.options import FILE, FOLDER, stopped_by_signal
from geo_service.commands.site import load_site
from geo_service.errors import InvalidInputError


@click.command()
@click.option("--site", "folder", type=FOLDER, required=True, envvar="GEO_SITE", help="Folder of the site.")
@click.option("--log", "recording", type=FILE, required=True, help="Recording, .gz or not; see `geo-service record`.")
@click.option("--presence", type=click.Choice(["strict", "steady"]), default="steady", show_default=True)
@click.option("--until", metavar="TIME", help="Let the clock run on until then (RFC 3339 or epoch seconds).")
@click.option("--consent", default="location,offers", show_default=True, help="Purposes assumed to be agreed to.")
@click.option("--coupon-secret", "secret", envvar="GEO_COUPON_SECRET", help="Of the live service, for the same codes.")
def replay(
    folder: Path,
    recording: Path,
    presence: Literal["strict", "steady"],
    until: str | None,
    consent: str,
    secret: str | None,
) -> None:
    """Run the whole system on a recording and print every output, one JSON object a line.

    No server is needed and nothing listens. The same input gives the same output, byte for byte.
    """
    from geo_service import outputs
    from geo_service.flow.partition import Rules
    from geo_service.flow.recording import open_bytes, read_lines
    from geo_service.flow.replay import Replay
    from geo_service.settings import Settings

    until_ms = None if until is None else _instant(until, "--until")
    made_with = {} if secret is None else {"secret": secret.encode()}
    run = Replay(load_site(folder), Rules(presence, Settings(consent=consent).assumed, **made_with))
    write = sys.stdout.buffer.write
    with open_bytes(recording, "rb") as file:
        try:
            for output in run.run(read_lines(file), until_ms):
                write(outputs.encode(output) + b"\n")
        except BrokenPipeError:
            raise
        except (EOFError, OSError) as error:
            raise InvalidInputError(f"{recording}: {error}") from error
    sys.stdout.buffer.flush()


def _instant(text: str, option: str) -> int:
    from sensors.instants import millis

    try:
        return millis(float(text))
    except ValueError:
        pass
    try:
        return millis(datetime.fromisoformat(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from error


@click.command()
@click.option("--mqtt", metavar="URL", required=True, envvar="GEO_MQTT", help="MQTT broker.")
@click.option(
    "--topic", "topics", multiple=True, default=["#"], show_default=True, help="What to listen to; repeatable."
)
@click.option("--seconds", type=float, help="Stop by itself after this long.")
@click.argument("file", type=FILE)
def record(mqtt: str, topics: tuple[str, ...], seconds: float | None, file: Path) -> None:
    """Write live MQTT traffic to a recording that `replay` understands; .gz is compressed. Ctrl-C ends it."""
    from geo_service.delivery.recorder import record_traffic

    messages = record_traffic(mqtt, list(topics), file, seconds, progress=lambda text: click.echo(text, err=True))
    click.echo(f"{messages} messages written to {file}")


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option("--mqtt", metavar="URL", help="Publish live to this broker instead, until Ctrl-C or --seconds.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same bytes.")
@click.option("--phones", type=int, default=300, show_default=True)
@click.option("--speed", type=float, default=1.0, show_default=True, help="How much faster than life people behave.")
@click.option("--scenario", type=click.Choice(["day", "demo"]), default="day", show_default=True)
@click.option("--site", "folder", type=FOLDER, help="Not given: the made town of fixtures/town.")
@click.option("--hours", type=float, default=2.0, show_default=True, help="Length of the recording.")
@click.option("--start", default="2026-06-06T10:00:00+00:00", show_default=True, help="Of the recording, RFC 3339.")
@click.option("--seconds", type=float, help="With --mqtt: stop by itself after this long.")
def simulate(
    file: Path | None,
    mqtt: str | None,
    seed: int,
    phones: int,
    speed: float,
    scenario: str,
    folder: Path | None,
    hours: float,
    start: str,
    seconds: float | None,
) -> None:
    """A seeded town as a recording, with what really happened beside it, or as live MQTT traffic."""
    from geo_service.simulator.scenario import SCENARIOS

    if (file is None) == (mqtt is None):
        raise click.UsageError("name either a FILE to write or a broker with --mqtt")
    about: dict[str, Any] = {"seed": seed, "phones": phones, "speed": speed, "scenario": SCENARIOS[scenario]}
    if file is not None:
        from geo_service.simulator.record import write
        from sensors.instants import instant

        written = write(file, hours=hours, start=instant(_instant(start, "--start")), site=folder, **about)
        click.echo(f"{written.messages} messages in {written.recording}; {written.stays} true stays in {written.truth}")
    elif mqtt is not None:
        from geo_service.simulator.live import run

        with stopped_by_signal(seconds) as stop:
            traffic = run(mqtt, stop=stop, site=folder, notify=lambda text: click.echo(text, err=True), **about)
        click.echo(f"{traffic.published} messages published")


COMMANDS = [replay, record, simulate]
