"""Commands about sites and accounts of a running service: import, export, check, keys."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from geo_service.commands.options import FOLDER, REDIS, begin, options
from geo_service.errors import InvalidInputError

if TYPE_CHECKING:
    from geo_service.catalogue.site import Site
    from geo_service.storage.accounts import Accounts

_COUNTED: tuple[tuple[Literal["store", "fence", "sensor", "campaign"], str], ...] = (
    ("store", "stores"),
    ("fence", "fences"),
    ("sensor", "sensors"),
    ("campaign", "campaigns"),
)


def load_site(folder: Path) -> "Site":
    """A site that may be run: one error is enough to refuse it. Of warnings only their number is told.

    Raises:
        InvalidInputError: it cannot be read, or has errors; names the first and how many there are.
    """
    from geo_service.catalogue.check import check_site
    from geo_service.catalogue.site import read_site

    site, problems = read_site(folder)
    problems += check_site(site)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        first, more = errors[0], f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise InvalidInputError(
            f"{first.file} {first.id}: {first.reason}{more} (geo-service check --site {folder} lists every problem)"
        )
    if problems:
        click.echo(f"warnings about the site: {len(problems)} (geo-service check --site {folder} lists them)", err=True)
    return site


@click.command()
@click.option("--site", "folder", type=FOLDER, required=True, envvar="GEO_SITE", help="Folder of the site.")
def check(folder: Path) -> None:
    """Check a site: every problem with file, id and reason. Exit code 1 if any is an error."""
    from geo_service.catalogue.check import check_site
    from geo_service.catalogue.site import read_site

    site, problems = read_site(folder)
    problems += check_site(site)
    for problem in problems:
        click.echo(f"{problem.severity}: {problem.file} {problem.id}: {problem.reason}")
    errors = sum(problem.severity == "error" for problem in problems)
    counted = ", ".join(f"{len(site.of(kind))} {name}" for kind, name in _COUNTED)
    click.echo(f"{counted}: {errors} errors, {len(problems) - errors} warnings", err=True)
    if errors:
        sys.exit(1)


@click.command("import")
@options(REDIS)
@click.option("--site", "folder", type=FOLDER, required=True, envvar="GEO_SITE", help="Folder of the site.")
def import_(folder: Path, **given: Any) -> None:
    """Bring a site into a running service. What is there and not in the folder stays; the same twice changes nothing."""
    from geo_service.storage.connection import connect
    from geo_service.wiring import import_site, require

    settings = begin(given)
    site = load_site(folder)
    changed = import_site(connect(require(settings.redis, "redis")), settings, site)
    click.echo(f"{changed} of {sum(1 for _ in site.documents())} documents changed")


@click.command()
@options(REDIS)
@click.argument("folder", type=FOLDER)
def export(folder: Path, **given: Any) -> None:
    """Write a running service's site into a folder."""
    from geo_service.catalogue.site import Site, decode_document, write_site
    from geo_service.storage.catalogue import Catalogue
    from geo_service.storage.connection import connect
    from geo_service.storage.keys import Keys
    from geo_service.wiring import require

    settings = begin(given)
    catalogue = Catalogue(connect(require(settings.redis, "redis")), keys=Keys(settings.prefix))
    site = Site()
    for (kind, key), stored in sorted(catalogue.load().documents.items()):
        if stored is not None:
            site.of(kind)[key] = decode_document(kind, stored.document)
    write_site(site, folder)
    click.echo(f"{sum(1 for _ in site.documents())} documents written to {folder}")


@click.group()
def keys() -> None:
    """API keys and logins: create, list, revoke."""


def _accounts(given: dict[str, Any]) -> "Accounts":
    from geo_service.storage.accounts import Accounts
    from geo_service.storage.connection import connect
    from geo_service.storage.keys import Keys
    from geo_service.wiring import now_ms, require

    settings = begin(given)
    return Accounts(connect(require(settings.redis, "redis")), now_ms, keys=Keys(settings.prefix))


_STORES = click.option("--store", "stores", multiple=True, help="Only for this store; repeatable. Not given: all.")


@keys.command()
@options(REDIS)
@click.argument("kind", type=click.Choice(["publishable", "secret"]))
@click.option(
    "--action", "actions", multiple=True, help="Only this action; repeatable. Not given: all its kind may have."
)
@_STORES
@click.option("--note", default="", help="What it is for.")
def create(
    kind: Literal["publishable", "secret"], actions: tuple[str, ...], stores: tuple[str, ...], note: str, **given: Any
) -> None:
    r"""Make a key and print it; it is told once and kept as a hash.

    \b
    publishable   for an app anyone can unpack: register a device, see what is around a place
    secret        for a back office
    """
    from geo_service.principals import Action

    try:
        wanted = [Action(action) for action in actions] or None
    except ValueError as error:
        raise InvalidInputError(f"{error}; there are: {', '.join(Action)}", field="action") from error
    _, text = _accounts(given).create_key(kind, actions=wanted, stores=stores or None, note=note)
    click.echo(text)


@keys.command()
@options(REDIS)
@click.argument("name")
@click.option("--role", type=click.Choice(["staff", "analyst", "manager", "admin"]), required=True)
@_STORES
@click.option("--password", help="Not given: one is made and printed.")
def person(
    name: str,
    role: Literal["staff", "analyst", "manager", "admin"],
    stores: tuple[str, ...],
    password: str | None,
    **given: Any,
) -> None:
    """Give somebody a login to the dashboard, or change role, stores and password."""
    import secrets

    chosen = password or secrets.token_urlsafe(9)
    _accounts(given).put_person(name, role, chosen, stores=stores or None)
    click.echo(f"{name} / {chosen}" if password is None else f"{name} may log in")


@keys.command("list")
@options(REDIS)
def list_(**given: Any) -> None:
    """List keys and people."""
    accounts = _accounts(given)
    for key in accounts.list_keys():
        click.echo(
            f"key     {key.id}  {key.kind:11}  {_scope(key.stores)}  {','.join(sorted(key.actions))}  {key.note}"
        )
    for known in accounts.list_people():
        click.echo(f"person  {known.name}  {known.role}  {_scope(known.stores)}")


def _scope(stores: frozenset[str] | None) -> str:
    return "all stores" if stores is None else ",".join(sorted(stores))


@keys.command()
@options(REDIS)
@click.argument("key_id")
def revoke(key_id: str, **given: Any) -> None:
    """End a key (by the id that `list` shows) or a login (by name)."""
    accounts = _accounts(given)
    if not accounts.revoke_key(key_id) and not accounts.remove_person(key_id):
        raise InvalidInputError(f"there is no key or login {key_id!r}")
    click.echo(f"{key_id} is no longer valid")


COMMANDS = [check, import_, export, keys]
