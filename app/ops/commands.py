"""`waystation verify` and `waystation doctor`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, echo, found, say, say_all, silent
from app.core.escapes import one_line


def register(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(verify)
    app.command()(doctor)


def verify(as_json: AsJson = False, data_dir: DataDir = DATA_DIR) -> None:
    """Check the invariants behind the guarantees on live data; exits 0 only if all hold.

    Reads all jobs, attempts and events, but no bodies. It takes no locks and may run during operation.
    """
    from app.core.commands.local import opened
    from app.ops.verify import STATEMENT_SECONDS, Proof, as_value, prove_all, summary, wrong_of

    async def run() -> tuple[Proof, ...]:
        async with (
            opened(data_dir, statement_seconds=STATEMENT_SECONDS) as database,
            database.snapshot() as session,
        ):
            return await prove_all(session, tell=silent if as_json else echo)

    proofs = asyncio.run(run())
    say_all(summary(proofs), value=as_value(proofs), as_json=as_json)
    raise typer.Exit(1 if wrong_of(proofs) else 0)


def doctor(
    probe: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Check nothing; send one real job of this model and tell what the upstream does."
        ),
    ] = None,
    max_cost: Annotated[
        str | None, typer.Option(metavar="CREDITS", help="With --probe: the most that it may cost.")
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="With --probe: a parameter; may be repeated."),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --probe: the parameters, as a JSON object.", dir_okay=False),
    ] = None,
    patience: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="With --probe: how long to watch it; 600 if not given.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Check settings, database, workers, Redis, upstream and clock; for each problem say how to fix it, and exit 1.

    --probe sends one real job instead, which costs credits, and prints the shapes of the upstream's answers.
    """
    if probe is not None or max_cost or given or input_file or patience is not None:
        from app.ops.probe_commands import Wish, run_probe

        run_probe(Wish(probe, max_cost, tuple(given or ()), input_file, patience), as_json=as_json, data_dir=data_dir)
        return
    _examine(as_json=as_json, data_dir=data_dir)


def _examine(*, as_json: bool, data_dir: Path) -> None:
    from app.core.logs.log import scrubbed
    from app.ops.doctor import Finding, examine

    findings: list[Finding] = []

    async def run() -> None:
        async for finding in examine(data_dir):
            findings.append(finding)
            if not as_json:
                verdict = "ok" if finding.mend is None else "WRONG"
                mend = "" if finding.mend is None else f"; {finding.mend}"
                said = scrubbed(f"{' '.join(finding.said.split())}{mend}")
                echo(found(verdict, finding.name, one_line(said)))

    asyncio.run(run())
    wrong = [finding.name for finding in findings if finding.mend is not None]
    told = [
        {"name": finding.name, "ok": finding.mend is None, "said": scrubbed(finding.said), "mend": finding.mend}
        for finding in findings
    ]
    say(
        f"problems: {', '.join(wrong)}" if wrong else "no problems found",
        value={"ok": not wrong, "findings": told},
        as_json=as_json,
    )
    raise typer.Exit(1 if wrong else 0)
