"""Each file of deploy/ passes the program that will read it, or the official validator of its format."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.core.config.settings import PREFIX, Settings
from tests.deploy.tools import COMPOSE, DEPLOY, copy_nginx_files, find_nginx, run, tool
from tests.house.source import ROOT

OVERLAYS = sorted(path.name for path in (DEPLOY / "kubernetes/overlays").iterdir())
WITHOUT_SCHEMA = {"ScaledObject", "TriggerAuthentication"}
"""Kinds that KEDA brings into a cluster."""
UNITS = sorted(path.name for path in (DEPLOY / "systemd").glob("*.[st]*"))


@pytest.mark.parametrize("profile", ["", "simulator", "observability", "*"])
def test_compose_reads_its_file(profile: str) -> None:
    read = run(tool("docker-compose"), "--profile", profile, "config", "-q")
    assert (read.returncode, read.stdout, read.stderr) == (0, "", "")


def test_every_service_is_bounded_hardened_and_watched() -> None:
    services = json.loads(run(tool("docker-compose"), "--profile", "*", "config", "--format", "json").stdout)[
        "services"
    ]
    assert set(services) == {
        "postgres", "valkey", "migrate", "api", "worker", "proxy", "simulator", "prometheus", "grafana",
    }  # fmt: skip
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["user"].split(":")[0] not in ("", "0", "root"), name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        watched = not service["healthcheck"].get("disable", False)
        assert watched == (name not in ("migrate", "worker")), name
        for setting, value in (service.get("environment") or {}).items():
            assert not re.search("_(KEY|PASSWORD|DATABASE_URL|REDIS_URL)$", setting), f"{name}: {setting} is no file"
            assert value is not None, f"{name}: {setting}"
    assert {name: services[name]["deploy"]["replicas"] for name in ("api", "worker")} == {"api": 2, "worker": 2}


def test_the_secrets_are_made_once_and_are_those_that_compose_mounts(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    made = run("sh", str(DEPLOY / "secrets.sh"), str(directory))
    assert made.returncode == 0, made.stderr
    found = {path.name: path.read_text() for path in directory.iterdir()}
    assert len({found[name] for name in ("database_password", "redis_password", "secret_key", "admin_key")}) == 4
    assert all(len(found[name].strip()) == 64 for name in ("secret_key", "admin_key"))
    mounted = json.loads(run(tool("docker-compose"), "--profile", "*", "config", "--format", "json").stdout)["secrets"]
    assert {Path(one["file"]).name for one in mounted.values()} == set(found) - {"redis_password"}
    assert run("sh", str(DEPLOY / "secrets.sh"), str(directory)).returncode == 0
    assert {path.name: path.read_text() for path in directory.iterdir()} == found


def test_hadolint_finds_nothing() -> None:
    linted = run(tool("hadolint"), "--failure-threshold", "style", str(DEPLOY / "Dockerfile"))
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_image_is_built_of_files_that_are_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()}
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]


def rendered(overlay: str) -> str:
    made = run(tool("kubectl"), "kustomize", str(DEPLOY / "kubernetes/overlays" / overlay), HOME="/nonexistent")
    assert (made.returncode, made.stderr) == (0, "")
    return made.stdout


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_takes_every_object(overlay: str, tmp_path: Path) -> None:
    path = tmp_path / "rendered.yaml"
    path.write_text(rendered(overlay))
    said = run(tool("kubernetes-validate"), "--strict", str(path))
    assert said.returncode == 0, said.stdout + said.stderr
    lines = (said.stdout + said.stderr).splitlines()
    passed = [line for line in lines if " passed for resource " in line]
    unknown = {line.split("schema for kind ")[1].split()[0] for line in lines if "find schema for kind" in line}
    assert unknown <= WITHOUT_SCHEMA
    assert len(passed) >= 12
    assert len(lines) == len(passed) + len(unknown), lines


def test_the_overlays_hold_the_whole_of_it() -> None:
    yaml = pytest.importorskip("yaml", reason="comes with kubernetes-validate: `uv sync --group deploy`")
    for overlay in OVERLAYS:
        objects = [one for one in yaml.safe_load_all(rendered(overlay)) if one is not None]
        kinds = {one["kind"] for one in objects}
        assert {
            "Job", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
        } <= kinds  # fmt: skip
        (settings,) = (one["data"] for one in objects if one["kind"] == "ConfigMap")
        stop = float(settings["WAYSTATION_SHUTDOWN_DELAY_SECONDS"]) + float(settings["WAYSTATION_GRACE_SECONDS"])
        for one in objects:
            if one["kind"] == "Deployment" and one["metadata"]["name"].startswith("waystation-"):
                pod = one["spec"]["template"]["spec"]
                assert pod["terminationGracePeriodSeconds"] > stop
                assert pod["topologySpreadConstraints"]
                assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
            if one["kind"] == "Deployment":
                assert "replicas" not in one["spec"] or not any(
                    scaler["spec"]["scaleTargetRef"]["name"] == one["metadata"]["name"]
                    for scaler in objects
                    if scaler["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
                )


async def test_the_query_that_scales_workers_runs_as_a_dashboard(database_url: str) -> None:
    text = (DEPLOY / "kubernetes/components/keda/workers.yaml").read_text()
    found = re.search(r'query: "(.*)"', text)
    assert found is not None
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET ROLE waystation_readonly")
        assert await connection.fetchval(found[1]) >= 0
    finally:
        await connection.close()


def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", comes_with="systemd")
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in UNITS:
        shutil.copy(DEPLOY / "systemd" / name, units)
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    program = tmp_path / "opt/waystation/bin/waystation"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    named = [name.replace("@.", "@8081.") for name in UNITS]
    verified = run(analyze, "verify", f"--root={tmp_path}", *named)
    # what it does not know is only said, with exit code 0
    said = [line for line in verified.stderr.splitlines() if "waystation" in line]
    assert (verified.returncode, said) == (0, [])
    for name in named:
        if name.endswith(".service"):
            security = run(analyze, "security", "--offline=yes", f"--root={tmp_path}", "--threshold=20", name)
            assert security.returncode == 0, security.stdout[-300:]


@pytest.mark.parametrize("name", ["waystation-api@.service", "waystation-worker@.service"])
def test_to_migrate_before_an_upgrade_restarts_no_process(name: str) -> None:
    """systemd stops and restarts with a unit all that require it, or are part of it."""
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    needed = [line for line in lines if "waystation-migrate" in line and not line.startswith("#")]
    assert {line.partition("=")[0] for line in needed} == {"Wants", "After"}


def with_certificate(directory: Path) -> None:
    """A certificate for gateway.example.com, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (directory / "gateway.example.com.crt").write_bytes(certificate.public_bytes(pem))
    (directory / "gateway.example.com.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.mark.parametrize("name", ["nginx.conf", "site.conf"])
def test_nginx_takes_its_file(name: str, tmp_path: Path) -> None:
    nginx = find_nginx()
    with_certificate(tmp_path)
    # an ordinary user may not open 443
    copy_nginx_files(tmp_path, {"listen 443": "listen 18443", "listen [::]:443": "listen [::]:18443"})
    main = tmp_path / name
    if name == "site.conf":
        main = tmp_path / "main.conf"
        main.write_text(
            f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n"
            + "".join(
                f"{kind}_temp_path {tmp_path}/{kind};\n"
                for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"include {tmp_path}/site.conf;\n}}\n"
        )
    tested = run(nginx, "-t", "-p", str(tmp_path), "-e", str(tmp_path / "errors"), "-c", str(main))
    assert tested.returncode == 0, tested.stderr
    assert "[warn]" not in tested.stderr


def test_prometheus_takes_its_file() -> None:
    checked = run(
        tool("promtool", comes_with="Debian's package `prometheus`; no registry of Python has it"),
        "check",
        "config",
        "--syntax-only",
        str(DEPLOY / "prometheus/prometheus.yml"),
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_setting_of_a_manifest_is_one_of_ours() -> None:
    files = [COMPOSE, *(path for path in filter(Path.is_file, DEPLOY.rglob("*")) if "secrets" not in path.parts)]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in files
        for name in re.findall(rf"{PREFIX}([A-Z_]+?)(?:_FILE)?\b", path.read_text())
    }
    known = {name.upper() for name in Settings.model_fields}
    assert {(path, name) for path, name in named if name not in known} == set()
    assert len({path for path, _ in named}) >= 6
