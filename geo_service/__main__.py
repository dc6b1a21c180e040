"""`geo-service`: the command line. Exit codes: 0 done, 1 the input was wrong, 2 wrong usage, 3 a server is out of reach."""

import os
import sys

import click

from geo_service import __version__
from geo_service.commands import bench, offline, serving, site
from geo_service.errors import GeoServiceError, UnreachableError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="geo-service")
def cli() -> None:
    r"""Who is in which store, how full it is and will be, and whom to invite.

    \b
    Start here:          geo-service demo
    Run it for real:     geo-service serve --mqtt mqtt://broker --redis redis://server --site FOLDER
    Try it on a file:    geo-service replay --site FOLDER --log FILE

    Every option that names a server or a folder can also come from the environment: GEO_MQTT, GEO_REDIS, GEO_SITE …
    """


COMMANDS: list[click.Command] = [*serving.COMMANDS, *offline.COMMANDS, *site.COMMANDS, *bench.COMMANDS]
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run a command; what the service refuses becomes one clear line and an exit code, never a traceback."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except UnreachableError as error:
        click.echo(f"geo-service: {error}", err=True)
        sys.exit(3)
    except GeoServiceError as error:
        click.echo(f"geo-service: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output (head, less) has seen enough; do not let the interpreter complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
