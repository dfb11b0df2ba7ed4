"""The rules of the house that a reading of the source can hold."""

import ast
import re
from collections import Counter
from pathlib import PurePath

import pytest

from app.core.logs.log import scrubbed
from tests.house.source import ROOT, Source, sources

FILE_LINES_MAX = 400
APP_FILE_LINES_MAX = 300
MODULES_MAX = 12
"""Of a room, beside its `__init__`."""
FUNCTION_LINES_MAX = 70

EDGES = re.compile(
    r"app/(cli|main|worker|engine|(.*/)?(\w+_)?commands|.*/commands/\w+|.*/(\w+_)?routes|reconciliation/tasks/\w+"
    r"|jobs/(engine|observing)/\w+|resolution/tasks|webhooks/delivery/\w+)\.py"
)
"""Where a transaction may begin: HTTP, arq, the command line."""

OTHER_DOORS = {
    "app/admin/auth.py": "who of ours is calling",
    "app/admin/actions/demo.py": "the tenant of `waystation up`",
    "app/api/callers.py": "a tenant's way to the database, for the routes of /api/v1",
    "app/books/witness.py": "what a process knows of the database, held against it",
    "app/catalog/check.py": "what an API process remembers of the catalogue",
    "app/web/pages/health.py": "the routes of /healthz and /readyz",
    "app/core/process/heartbeat.py": "each process's own sign of life",
    "app/jobs/claiming/gate.py": "one process's way to the pace, for the loops of the engine",
    "app/jobs/claiming/lease.py": "renews and hands back what the loops of the engine hold",
    "app/jobs/reading/eta_estimator.py": "groups what an API process asks of lines and run times",
    "app/jobs/submit/quoting.py": "looks at what a submit would meet, for the quote",
    "app/jobs/reading/reader.py": "groups the reads of an API process",
    "app/jobs/submit/refusals.py": "groups the refusals of an API process",
    "app/jobs/reading/waiters.py": "tells those who wait for a job",
    "app/jobs/submit/writer.py": "groups the submits of an API process",
    "app/ops/doctor.py": "looks at the database as at everything else, for the command",
    "app/probe/probing.py": "records each step of a probe, for the command",
    "app/resolution/checking.py": "asks the history about an operator's decision, for the route and the command",
    "app/resolution/reading.py": "compares a read of the history with what is ours, for the duty",
    "app/stack/running/demo.py": "shows the job's story in SQL, as an operator would ask for it",
    "app/stack_seams.py": "what `waystation up` asks of the database",
    "app/tenants/auth.py": "what an API process remembers of keys",
}
"""Edges by another name, each with its reason."""


def everything() -> tuple[Source, ...]:
    return sources("app", "tests", "bench", "migrations")


def test_files_are_short() -> None:
    assert {
        source.path: lines
        for source in everything()
        if (lines := len(source.text.splitlines()))
        > (APP_FILE_LINES_MAX if source.path.startswith("app/") else FILE_LINES_MAX)
    } == {}


def test_rooms_are_small() -> None:
    modules = [path for source in sources("app") if (path := PurePath(source.path)).name != "__init__.py"]
    rooms = Counter(path.parent.as_posix() for path in modules)
    assert {room: number for room, number in rooms.items() if number > MODULES_MAX} == {}


def test_functions_are_short() -> None:
    assert [
        f"{source.path}:{node.lineno} {node.name}: {lines} lines"
        for source in everything()
        for node in source.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ] == []


def test_an_init_is_a_docstring() -> None:
    packages = [source for source in sources("app") if source.path.endswith("__init__.py")]
    assert len(packages) > 5
    for package in packages:
        assert ast.get_docstring(package.tree), package.path
        assert len(package.tree.body) == 1, package.path


def test_modules_say_what_they_are() -> None:
    assert [source.path for source in sources("app") if not ast.get_docstring(source.tree)] == []


def test_nothing_is_called_utils() -> None:
    vague = re.compile(r"(^|[/_])(utils?|helpers?|common|misc)(\.py|/|_)")
    assert [source.path for source in everything() if vague.search(source.path)] == []


def test_nobody_commits_by_hand() -> None:
    assert {source.path: lines for source in sources("app") if (lines := source.calls("commit", "rollback"))} == {}


def test_only_edges_open_the_database() -> None:
    doors = {source.path for source in sources("app") if source.calls("transaction", "statement", "snapshot")}
    doors -= {"app/core/database/db.py"}  # it is the door
    strangers = {path for path in doors if not EDGES.fullmatch(path)} - set(OTHER_DOORS)
    assert strangers == set(), "open it at an edge and hand the session down"
    assert set(OTHER_DOORS) - doors == set(), "these open nothing any more: strike them off"


def test_reads_for_a_tenant_are_of_its_share() -> None:
    """`snapshot()` without a tenant takes any connection that is free: only for what all tenants share."""
    shared = {
        "app/jobs/reading/eta_estimator.py": 1,  # how long jobs of a model take
        "app/jobs/reading/waiters.py": 1,  # one look a second for all who wait
        "app/jobs/observing/account.py": 1,
        "app/jobs/observing/discretion.py": 1,
        "app/jobs/observing/learn.py": 1,
    }
    bare = re.compile(r"\.snapshot\(\)")
    surfaces = [source for source in sources("app") if re.match(r"app/(api|segmind|jobs)/", source.path)]
    assert {s.path: len(found) for s in surfaces if (found := bare.findall(s.text))} == shared
    assert sum(".snapshot(" in source.text for source in surfaces) > len(shared)


def test_who_is_handed_a_session_opens_none() -> None:
    assert [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources("app")
        for node in source.nodes(ast.AsyncFunctionDef)
        if isinstance(node, ast.AsyncFunctionDef)
        and [argument.arg for argument in node.args.args][:1] == ["session"]
        and re.search(r"\.(transaction|statement|snapshot)\(", ast.unparse(node))
    ] == []


def test_a_session_comes_first_and_the_rest_by_name() -> None:
    assert [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources("app")
        if source.path.endswith(("/operations.py", "/queries.py"))
        for node in source.tree.body
        if isinstance(node, ast.AsyncFunctionDef) and [argument.arg for argument in node.args.args] != ["session"]
    ] == []


def test_time_is_read_in_one_place() -> None:
    read = re.compile(r"\bdatetime\.(now|utcnow|today)\(|\btime\.time\(")
    assert [s.path for s in sources("app") if read.search(s.text) and s.path != "app/core/clock.py"] == []


def test_the_network_is_reached_through_one_room() -> None:
    strangers = {
        source.path
        for source in sources("app")
        if source.imports() & {"httpx", "aiohttp", "urllib.request", "http.client", "requests"}
        and not source.path.startswith("app/http_client/")
    }
    assert strangers == set()


def test_redis_is_opened_by_each_form_of_its_url() -> None:
    assert [
        source.path for source in sources("app") if re.search(r"\bfrom_url\(|RedisSettings\.from_dsn", source.text)
    ] == []


def test_no_text_of_ours_looks_like_a_secret() -> None:
    """An example with a password in it is blotted out of the message that shows it."""
    assert [
        f"{source.path}:{node.lineno} {node.value}"
        for source in sources("app")
        for node in source.nodes(ast.Constant)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and scrubbed(node.value) != node.value
    ] == []


def test_text_files_are_read_and_written_as_utf_8() -> None:
    """Without an encoding a file is read by the locale, and one with an accent cannot be read under LC_ALL=C."""
    assert [
        f"{source.path}:{node.lineno}"
        for source in sources("app", "migrations", "bench")
        for node in source.nodes(ast.Call)
        if isinstance(node, ast.Call) and _opens_text(node) and not {"encoding", None} & {k.arg for k in node.keywords}
    ] == []


def _opens_text(call: ast.Call) -> bool:
    """Whether it opens a file as text: by `open`, `os.fdopen`, or a method of a path."""
    of_path = isinstance(call.func, ast.Attribute)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("read_text", "write_text"):
        return True
    if name not in ("open", "fdopen") or ast.unparse(call.func) == "os.open":
        return False
    arguments = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [one.value for one in arguments if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if of_path and name == "open":  # `Database.open(url)` opens no file
        return any(re.fullmatch("[rwax]t?[+]?", mode) for mode in modes)
    return not any("b" in mode for mode in modes if re.fullmatch("[rwaxbt+]{1,4}", mode))


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("open(path)", True), ("open('bad.txt', 'w')", True), ("os.fdopen(number, 'w')", True), ("path.open('r')", True),
        ("path.read_text()", True), ("path.write_text(text)", True), ("open(path, 'rb')", False),
        ("open(path, mode='ab')", False), ("path.open('rb')", False), ("os.open(path, flags)", False),
        ("Database.open(url, name='x')", False), ("read_bytes()", False),
    ],
)  # fmt: skip
def test_what_opens_text_is_told_from_what_does_not(call: str, found: bool) -> None:
    (expression,) = ast.parse(call).body
    assert isinstance(expression, ast.Expr)
    assert isinstance(expression.value, ast.Call)
    assert _opens_text(expression.value) == found


def test_no_file_is_asked_for_and_then_read() -> None:
    """Between `exists()` and the read it may go away: read, and handle FileNotFoundError."""
    assert [f"{source.path}:{line}" for source in everything() for line in _asked_and_then_read(source.tree)] == []


def _asked_and_then_read(tree: ast.AST) -> list[int]:
    """The lines on which a file is asked for that the same function reads, measures or removes."""
    found = set()
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            calls = [
                (call.func.attr, ast.unparse(call.func.value), call.lineno)
                for call in ast.walk(function)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
            ]
            read = {path for name, path, _ in calls if name in ("read_text", "read_bytes", "open", "stat", "unlink")}
            found |= {line for name, path, line in calls if name in ("exists", "is_file") and path in read}
    return sorted(found)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("if path.exists():\n  return path.read_text()", [2]), ("while not self.path.is_file(): pass\n self.path.stat()", [2]),
        ("return path.exists()", []), ("if first.exists():\n  second.read_text()", []),
    ],
)  # fmt: skip
def test_a_file_that_is_asked_for_and_then_read_is_found(body: str, lines: list[int]) -> None:
    assert _asked_and_then_read(ast.parse(f"def function():\n {body}")) == lines


def test_logs_have_constant_events_and_ids_as_people_see_them() -> None:
    """`job_0190…`, so that an id from an answer or a screen is found in the log; only a process has no such id."""
    assert [
        f"{source.path}:{call.lineno}"
        for source in sources("app")
        if source.path not in ("app/core/logs/log.py", "app/core/logs/grouped_log.py")
        for call in source.nodes(ast.Call)
        if isinstance(call, ast.Call) and _logs(call) and not _speaks_plainly(call)
    ] == []


def _logs(call: ast.Call) -> bool:
    levels = {"debug", "info", "warning", "warn", "error", "exception"}
    return isinstance(call.func, ast.Attribute) and call.func.attr in levels and ast.unparse(call.func.value) == "log"


def _speaks_plainly(call: ast.Call) -> bool:
    (event,) = call.args or (None,)
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    raw = [
        name for name, value in named.items()
        if (name != "worker" and ".hex" in ast.unparse(value))
        or (name is not None and re.fullmatch("(job|tenant|key|delivery|event|endpoint)_id", name)
            and isinstance(value, ast.Attribute | ast.Subscript))
    ]  # fmt: skip
    return (
        isinstance(event, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]+", str(event.value)) is not None and not raw
    )


@pytest.mark.parametrize(
    ("call", "plain"),
    [
        ("log.warning('job.lost', job_id=show_id('job', job_id))", True), ("log.info('worker.on', worker=id_.hex)", True),
        ("log.warning('job.lost', job_id=job_id.hex)", False), ("log.warning('job.lost', job_id=row['id'])", False),
        ("log.warning(f'job.{state}')", False), ("log.warning('the job is lost')", False),
    ],
)  # fmt: skip
def test_a_plain_log_line_is_told_from_another(call: str, plain: bool) -> None:
    (expression,) = ast.parse(call).body
    assert isinstance(expression, ast.Expr)
    assert isinstance(expression.value, ast.Call)
    assert _logs(expression.value)
    assert _speaks_plainly(expression.value) == plain


def test_nothing_is_left_for_later() -> None:
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")
    own = "tests/house/test_rules.py"
    assert [source.path for source in everything() if source.path != own and later.search(source.text)] == []


def test_no_error_is_swallowed_unseen() -> None:
    assert [
        f"{source.path}:{node.lineno}"
        for source in sources("app")
        for node in source.nodes(ast.ExceptHandler)
        if isinstance(node, ast.ExceptHandler) and len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
    ] == []


def test_every_test_asserts() -> None:
    sees = re.compile(r"\b(assert\w*|pytest\.(raises|warns|fail)|fails\w*)\b")
    assert [
        f"{source.path}:{node.lineno} {node.name}"
        for source in sources("tests")
        for node in source.nodes(ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not sees.search(ast.unparse(node))
    ] == []


def test_migrations_do_not_wait_long_for_a_lock() -> None:
    assert "lock_timeout" in (ROOT / "migrations/script.py.mako").read_text(encoding="utf-8")
    for source in sources("migrations/versions"):
        assert source.text.count("SET LOCAL lock_timeout") == 2, f"{source.path}: up and down"
