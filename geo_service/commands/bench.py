"""The benchmarks: `geo-service bench NAME`."""

import importlib
from typing import Any

import click

BENCHMARKS = {
    "ingest": "CPU of our processes and of the broker a ping, over a real mosquitto and Redis",
    "latency": "from a ping at the broker to the offer at the phone",
    "presence": "the geofence engine: speed, memory, against others",
    "jitter": "false crossings under noise, by rule",
    "trips": "error of the arrival time",
    "occupancy": "error of the number of people inside, by method",
    "forecast": "error of the forecast of footfall",
    "pacing": "visits that a promotion brings without overfilling the store, by policy",
    "decide": "what a decision about an offer costs",
    "mqtt": "reading and publishing by themselves",
}


@click.command(epilog="\b\n" + "\n".join(f"{name:10} {text}" for name, text in BENCHMARKS.items()))
@click.argument("name", type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="Leave out what takes minutes.")
def bench(name: str, quick: bool) -> None:
    """Measure, and print one JSON object. Progress goes to standard error."""
    import msgspec

    module: Any = importlib.import_module(f"geo_service.benchmarks.{name}")
    click.echo(msgspec.json.format(msgspec.json.encode(module.run(quick=quick)), indent=1).decode())


COMMANDS = [bench]
