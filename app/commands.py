"""The commands that run processes: `up`, `demo`, `api`, `worker`, `simulator`.

Each imports its room inside the function: the imports take half a second, which `waystation --help` must not wait for.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.core.commands.terminal import DATA_DIR, DataDir, echo
from app.core.process.stop_signals import exit_when_told

Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Speed = Annotated[
    float,
    typer.Option("--speed", min=0.01, max=1000, help="Factor by which the simulator is faster than the real upstream."),
]


def register(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (up, demo, api, worker, simulator):
        app.command()(command)


def up(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API; 0: any free port.")] = 8080,
    data_dir: DataDir = DATA_DIR,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes.")] = 1,
    apis: Annotated[int, typer.Option(min=0, max=64, help="API processes; they share the port.")] = 1,
    simulator: Annotated[bool, typer.Option(help="Run the upstream simulator.")] = True,
    paused: Annotated[
        bool, typer.Option("--paused", help="Send nothing to the upstream until `waystation resume`.")
    ] = False,
    speed: Speed = 1.0,
    ready_file: Annotated[
        Path | None, typer.Option(help="File that is written, as JSON, when everything is healthy.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run everything on this machine until Ctrl-C: Postgres, Valkey, the simulator, APIs and workers."""
    from app.stack.running.plan import UpOptions
    from app.stack.running.up import run_up
    from app.stack_seams import seams

    options = UpOptions(
        host=host,
        port=port,
        data_dir=data_dir,
        workers=workers,
        apis=apis,
        simulator=simulator,
        paused=paused,
        speed=speed,
        ready_file=ready_file,
        json=as_json,
    )
    raise typer.Exit(asyncio.run(run_up(options, seams())))


def demo(speed: Speed = 10.0) -> None:
    """Start everything, run one job and show each step; then stop and delete everything."""
    from app.stack.running.demo import run_demo
    from app.stack_seams import seams

    raise typer.Exit(asyncio.run(run_demo(seams(), speed=speed)))


def api(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
    fd: Annotated[
        int | None, typer.Option(help="File descriptor of a listening socket, instead of --host and --port.")
    ] = None,
) -> None:
    """Run one API process. SIGTERM stops it gracefully."""
    exit_when_told()
    from app.core.config.settings import start
    from app.main import run_api

    run_api(start(), host=host, port=port, fd=fd)


def worker() -> None:
    """Run one worker process. SIGTERM stops it gracefully."""
    exit_when_told()
    from app.core.config.settings import start
    from app.worker import run_worker

    run_worker(start())


def simulator(
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free port.")] = 8090,
    speed: Speed = 1.0,
    book: Annotated[Path | None, typer.Option(help="File in which it keeps requests and charges.")] = None,
    rpm: Annotated[int, typer.Option(min=0, help="Requests a minute that it accepts; 0: no limit.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Makes run times and costs repeatable.")] = None,
    api_key: Annotated[str, typer.Option(help="The only key that it accepts; empty: any key.")] = "",
) -> None:
    """Run the simulator of the upstream's v2 API alone."""
    from app.simulator.config import SimulatorConfig
    from app.simulator.surface.serve import RunningSimulator, run_simulator

    config = SimulatorConfig(
        host=host,
        port=port,
        speed=speed,
        book_path=book,
        rpm=rpm,
        seed=seed,
        api_keys=(api_key,) if api_key else (),
    )

    def say(running: RunningSimulator) -> None:
        echo(f"the simulator listens at {running.url}")

    import uvloop

    uvloop.run(run_simulator(config, on_ready=say))
