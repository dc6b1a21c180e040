"""PostGIS as a rival: fences with a GiST index, who is inside in a table, one statement a batch.

A private cluster in a temporary folder, on a Unix socket, with every comfort: nothing is synced, the tables are not logged,
devices and fences are integers, and the statement is prepared. Its binaries are looked for on the PATH and where
Debian, Red Hat, Homebrew and the PostgreSQL installers keep them.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import shapely

from geo_service.benchmarks.broker import cpu_s
from geo_service.benchmarks.rivals import Crossing, polygon_of
from geo_service.catalogue.documents import Fence
from geo_service.errors import UnreachableError
from geo_service.pings.batch import PingBatch

_FOLDERS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Library/PostgreSQL/*/bin",
)
_USERS: Final = ("postgres", "nobody")
"""Whom root becomes: PostgreSQL refuses to run as root."""
_READY_S: Final = 30.0
_STOP_S: Final = 10.0
_END: Final = "that was all"
_OPTIONS: Final = (
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=256MB",
    "work_mem=64MB",
    # Compiling a statement costs more CPU than it saves here, and more processes never cost less.
    "jit=off",
    "max_parallel_workers_per_gather=0",
    # Planned anew for each batch, it chooses no better and costs a fifth more.
    "plan_cache_mode=force_generic_plan",
)
_KEEPER: Final = '"$@" & server=$!; read -r _; kill -INT $server; wait $server'
"""A shell that stops the server when our end of its standard input closes: whatever kills us, the server goes too."""
_TABLES: Final = """\
CREATE EXTENSION postgis;
CREATE UNLOGGED TABLE fence (id int PRIMARY KEY, shape geometry NOT NULL);
CREATE UNLOGGED TABLE inside (device int, fence int, PRIMARY KEY (device, fence));
"""
_STEP: Final = """\
PREPARE step (int[], float8[], float8[]) AS
WITH ping AS MATERIALIZED (
  SELECT device, ST_Point(lon, lat) AS place FROM unnest($1, $2, $3) AS given (device, lon, lat)
), now AS MATERIALIZED (
  SELECT ping.device, fence.id AS fence FROM ping JOIN fence ON ST_Covers(fence.shape, ping.place)
), before AS MATERIALIZED (
  SELECT inside.device, inside.fence FROM inside JOIN ping USING (device)
), left_now AS (
  DELETE FROM inside USING (SELECT * FROM before EXCEPT ALL SELECT * FROM now) AS gone
  WHERE inside.device = gone.device AND inside.fence = gone.fence
  RETURNING inside.device, inside.fence
), entered AS (
  INSERT INTO inside SELECT * FROM now EXCEPT ALL SELECT * FROM before RETURNING device, fence
)
SELECT 'exit', device, fence FROM left_now UNION ALL SELECT 'enter', device, fence FROM entered;
"""


def find_binaries() -> Path | None:
    """The folder that has `initdb` and `postgres`, the newest where there are several; None where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    for pattern in _FOLDERS:
        folders += sorted(Path("/").glob(pattern[1:]), key=lambda path: _numbers(path.parent.name), reverse=True)
    return next((path for path in folders if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _numbers(name: str) -> tuple[int, ...]:
    digits = "".join(letter if letter.isdigit() else " " for letter in name)
    return tuple(map(int, digits.split()))


class PostGIS:
    """A running cluster with the fences in it."""

    def __init__(self, keeper: "subprocess.Popen[bytes]", psql: "Psql", fences: Sequence[Fence]) -> None:
        self._keeper = keeper
        self._psql = psql
        self._fences = [fence.id for fence in fences]
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []

    def cpu_s(self) -> float:
        """CPU seconds of the server's processes so far."""
        return cpu_s(self._keeper.pid)

    def step(self, batch: PingBatch) -> list[Crossing]:
        """One statement: what it inserted and deleted are the crossings."""
        columns = (
            map(str, map(self._number, batch.devices)),
            map(repr, batch.lon.tolist()),
            map(repr, batch.lat.tolist()),
        )
        arrays = ", ".join(f"'{{{','.join(column)}}}'" for column in columns)
        crossings = []
        for line in self._psql.ask(f"EXECUTE step({arrays});"):
            what, device, fence = line.split("|")
            known = self._names[int(device)], self._fences[int(fence)]
            crossings.append(Crossing("enter" if what == "enter" else "exit", *known))
        return crossings

    def _number(self, device: str) -> int:
        number = self._numbers.setdefault(device, len(self._names))
        if number == len(self._names):
            self._names.append(device)
        return number


class Psql:
    """One session, one question at a time."""

    def __init__(self, binary: Path, socket_folder: Path, log: IO[bytes]) -> None:
        options = ["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(socket_folder), "-U", "bench", "postgres"]
        self._process = subprocess.Popen(  # noqa: S603 - our own command line
            [str(binary), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            encoding="utf-8",
            env=_environment(),
        )

    def ask(self, statements: str) -> list[str]:
        """Lines of the answer, columns parted by `|`.

        Raises:
            UnreachableError: the server refused, or is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        lines: list[str] = []
        try:
            self._process.stdin.write(f"{statements}\n\\echo {_END}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the reason is in the log, and its output has ended
        for line in self._process.stdout:
            if line == f"{_END}\n":
                return lines
            lines.append(line[:-1])
        self._process.wait()
        raise UnreachableError("postgis", f"psql ended with code {self._process.returncode}")

    def close(self) -> None:
        """Hang up."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def postgis(fences: Sequence[Fence]) -> Iterator[PostGIS]:
    """A PostGIS of our own with these fences, as long as the context lasts.

    Raises:
        UnreachableError: it is not installed or does not start; with the last line of its log.
    """
    binaries = find_binaries()
    if binaries is None:
        raise UnreachableError(
            "postgis", "there is no PostgreSQL server (initdb) on the PATH or where it is usually kept"
        )
    user = _user()
    with tempfile.TemporaryDirectory(prefix="geo-pg-") as name, tempfile.TemporaryFile() as log:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        try:
            with _cluster(binaries, folder, user, log) as keeper:
                psql = _connect(binaries / "psql", folder, log)
                try:
                    _load(psql, fences)
                    yield PostGIS(keeper, psql, fences)
                finally:
                    psql.close()
        except UnreachableError as error:
            raise UnreachableError("postgis", f"{error.reason}; its log ends: {_last_line(log)}") from error


@contextmanager
def _cluster(
    binaries: Path, folder: Path, user: pwd.struct_passwd | None, log: IO[bytes]
) -> "Iterator[subprocess.Popen[bytes]]":
    """A new cluster; gives the shell that keeps the server."""
    uid, gid = (None, None) if user is None else (user.pw_uid, user.pw_gid)
    groups = None if user is None else [user.pw_gid]
    data = folder / "data"
    options = ["-D", str(data), "-A", "trust", "-U", "bench", "--no-sync", "--no-locale", "-E", "UTF8"]
    made = subprocess.run(  # noqa: S603 - our own command line
        [str(binaries / "initdb"), *options],
        stdout=log,
        stderr=log,
        check=False,
        cwd=folder,
        env=_environment(),
        user=uid,
        group=gid,
        extra_groups=groups,
    )
    if made.returncode:
        raise UnreachableError("postgis", f"initdb ended with code {made.returncode}")
    options = [part for option in (*_OPTIONS, f"unix_socket_directories={folder}") for part in ("-c", option)]
    keeper = subprocess.Popen(  # noqa: S603 - as above
        ["/bin/sh", "-c", _KEEPER, "sh", binaries / "postgres", "-D", data, *options],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        cwd=folder,
        env=_environment(),
        start_new_session=True,
        user=uid,
        group=gid,
        extra_groups=groups,
    )
    try:
        yield keeper
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        try:
            keeper.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(keeper.pid, 9)
            keeper.wait()


def _connect(psql: Path, folder: Path, log: IO[bytes]) -> Psql:
    """A session, as soon as the server takes one."""
    deadline = time.monotonic() + _READY_S
    while True:
        session = Psql(psql, folder, log)
        try:
            session.ask("SELECT 1;")
        except UnreachableError:
            session.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return session


def _load(psql: Psql, fences: Sequence[Fence]) -> None:
    """Tables, fences and the statement."""
    psql.ask(_TABLES)
    shapes = shapely.to_wkb([polygon_of(fence) for fence in fences], hex=True).tolist()
    rows = "".join(f"{number}\t{shape}\n" for number, shape in enumerate(shapes))
    psql.ask(f"COPY fence FROM STDIN;\n{rows}\\.")
    # Built by sorting, as it is without this, the index answers a third slower.
    psql.ask("CREATE INDEX ON fence USING gist (shape) WITH (buffering = on);")
    psql.ask("VACUUM ANALYZE fence;")
    psql.ask(_STEP)


def _user() -> pwd.struct_passwd | None:
    """Who the server shall be, where it may not be us."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise UnreachableError("postgis", f"it does not run as root, and there is no user {' or '.join(_USERS)}")


def _environment() -> dict[str, str]:
    """Nothing of ours but where programs are: PGDATA or PGOPTIONS would lead it astray."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "LANG": "C"}


def _last_line(log: IO[bytes]) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - 4096))
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "(nothing)"
