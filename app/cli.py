"""The command `waystation`: registers the commands of all rooms, and prints every error as one line."""

import os
import sys
from importlib.metadata import version
from socket import gaierror
from typing import Annotated

import typer

from app.admin.commands import pause_commands, secret_commands
from app.admin.commands.credit_commands import credits_
from app.admin.commands.job_commands import jobs
from app.admin.commands.key_commands import keys
from app.admin.commands.model_commands import models
from app.admin.commands.operator_commands import operators
from app.admin.commands.tenant_commands import tenants
from app.backup_commands import backups
from app.commands import register
from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, echo, say
from app.core.config.environment import ignore_variables_of_libpq
from app.core.config.setting_files import with_files
from app.core.escapes import one_line
from app.core.logs.redaction import know, secrets_of_environment
from app.ops import commands as ops_commands
from app.reconciliation.commands import reconcile as reconciliation_commands
from app.reconciliation.commands import recover as recover_commands
from app.webhooks.listen import commands as webhook_commands

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would draw boxes around errors, which are one line here, and takes 60 ms to import
)
app.add_typer(tenants, name="tenant")
app.add_typer(keys, name="key")
app.add_typer(operators, name="operator")
app.add_typer(credits_, name="credits")
app.add_typer(models, name="model")
app.add_typer(jobs, name="job")
app.add_typer(webhook_commands.webhooks, name="webhook")
app.add_typer(backups, name="backup")
register(app)
pause_commands.register(app)
recover_commands.register(app)
ops_commands.register(app)
secret_commands.register(app)
reconciliation_commands.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"waystation {version('waystation')}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Waystation, an async job gateway."""
    if context.invoked_subcommand is None:
        echo(context.get_help())


@app.command()
def migrate(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """Migrate the database to the newest schema. Several may run at the same time."""
    # imported here: alembic and SQLAlchemy take 0.5 s, and `--help` needs neither
    from app.core.commands.local import find_database_url
    from app.core.database.migrate import migrate as upgrade
    from app.core.database.schema import head_revision

    revision, head = upgrade(find_database_url(data_dir)).version, head_revision()
    newer = "" if revision == head else f", newer than this release's {head} and compatible with it"
    say(f"the database is at revision {revision}{newer}", value={"revision": revision}, as_json=as_json)


def main() -> None:
    """Run the command line. Exits 2 for wrong usage, 78 if the schema does not serve this release, 1 for any other failure."""
    know(secrets_of_environment(with_files(os.environ)))
    ignore_variables_of_libpq()
    try:
        code = app(prog_name="waystation", standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        _fail(f"{error.format_message().rstrip('.')}{hint}", error.exit_code)
    except typer.Abort:
        _fail("aborted", 1)
    except Exception as error:  # the last handler: print any error as one line
        from app.core.errors import WrongConnection  # imported here: only a failed command needs it

        _fail(explain(error), error.exit_code if isinstance(error, WrongConnection) else 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(line: str, code: int) -> None:
    echo("waystation: " + one_line(" ".join(line.splitlines())), to_stderr=True)
    sys.exit(code)


def explain(error: Exception) -> str:
    """Return the error as one line for people, without secrets."""
    # imported here: only a failed command needs these
    import asyncpg

    from app.core.config.setting_files import SettingsError
    from app.core.errors import Refusal, StatementTimedOut, StoreUnavailable, WrongConnection
    from app.core.logs.log import scrubbed
    from app.stack.errors import StackError

    cause = error.__cause__ if isinstance(error, StoreUnavailable) else error
    if isinstance(error, StatementTimedOut | WrongConnection):
        line = str(error)
    elif isinstance(error, StoreUnavailable | ConnectionError | gaierror):
        line = f"the database does not answer: {_first_line(cause or error)}"
    elif isinstance(error, Refusal | SettingsError | StackError):
        line = str(error)
    elif isinstance(error, asyncpg.UndefinedTableError):
        line = "the database has no tables yet: run `waystation migrate`"
    elif isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        line = f"the database reports an error: {_first_line(error)}"
    elif isinstance(error, OSError):
        line = _first_line(error)
    else:
        line = f"unexpected {type(error).__name__}: {_first_line(error)}"
    return scrubbed(line)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


if __name__ == "__main__":
    main()
