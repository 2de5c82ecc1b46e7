"""`fly.toml`, against the keys that flyctl reads and what the service does."""

import re
import tomllib
from typing import Any

from app.cli import AFTER_A_TURN_S
from app.server import LAST_BYTES_S
from app.settings import ROOT, Settings
from tests.deploy import image

SERVICE: dict[str, Any] = tomllib.loads((ROOT / "fly.toml").read_text())

# flyctl's internal/appconfig (config.go, service.go, checks.go) and fly-go's machine types: what
# stands in no list here is ignored by flyctl without a word.
CHECK = {"interval", "timeout", "grace_period", "method", "path", "protocol", "headers"}
KNOWN: dict[str, set[str]] = {
    "": {
        "app", "primary_region", "kill_signal", "kill_timeout", "build", "deploy", "env",
        "processes", "mounts", "http_service", "checks", "vm", "metrics",
    },
    "build": {"dockerfile", "image", "args", "ignorefile", "build-target"},
    "deploy": {"strategy", "max_unavailable", "wait_timeout", "release_command"},
    "metrics": {"port", "path", "https", "processes"},
    "http_service": {
        "internal_port", "force_https", "auto_stop_machines", "auto_start_machines",
        "min_machines_running", "processes", "concurrency", "checks",
    },
    "http_service.concurrency": {"type", "soft_limit", "hard_limit"},
    "http_service.checks": CHECK,
    "checks": CHECK | {"type", "port", "processes"},
    "mounts": {
        "source", "destination", "initial_size", "snapshot_retention",
        "auto_extend_size_threshold", "auto_extend_size_increment", "auto_extend_size_limit",
    },
    "vm": {"size", "memory", "cpu_kind", "cpus"},
}  # fmt: skip


def tables(config: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every table of the file under its section's name, the free-form ones left out."""
    found = [("", config)]
    for name, value in config.items():
        if name == "checks":
            found += [(name, check) for check in value.values()]
        elif name not in ("env", "processes") and isinstance(value, dict | list):
            for table in value if isinstance(value, list) else [value]:
                found.append((name, table))
                for inner in ("concurrency", "checks"):
                    below = table.get(inner, [])
                    found += [
                        (f"{name}.{inner}", each)
                        for each in (below if isinstance(below, list) else [below])
                    ]
    return found


def seconds(duration: str) -> float:
    match = re.fullmatch(r"(\d+)(ms|s|m)", duration)
    assert match, duration
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60}[match[2]]


def test_flyctl_reads_every_key() -> None:
    for section, table in tables(SERVICE):
        assert set(table) <= KNOWN[section], section


def test_fly_waits_for_the_longest_stop_and_asks_both_questions() -> None:
    turn = Settings(_env_file=None).total_timeout_s + AFTER_A_TURN_S + LAST_BYTES_S
    # Of a collector that does not answer: its queue of 2,048 spans in batches of 512, asked for
    # once when the service has stopped, and once more when the process ends.
    traces = 2 * (2048 / 512) * int(SERVICE["env"]["OTEL_EXPORTER_OTLP_TIMEOUT"])

    assert SERVICE["kill_signal"] == "SIGTERM"
    assert turn + traces < seconds(SERVICE["kill_timeout"]) <= 300
    assert {check["path"] for check in SERVICE["http_service"]["checks"]} == {"/health", "/ready"}
    assert SERVICE["http_service"]["concurrency"]["type"] == "requests"


def test_metrics_have_a_port_that_the_public_does_not_reach() -> None:
    port = int(SERVICE["env"]["METRICS_PORT"])

    assert port == SERVICE["metrics"]["port"] != SERVICE["http_service"]["internal_port"]
    assert "services" not in SERVICE
    Settings(_env_file=None, **{name.lower(): value for name, value in SERVICE["env"].items()})


def test_the_image_is_told_the_same_as_fly() -> None:
    environment = image.parse((ROOT / "Dockerfile").read_text())[-1].environment()

    assert environment["PORT"] == str(SERVICE["http_service"]["internal_port"])
    assert environment["DATA_DIR"] == SERVICE["mounts"][0]["destination"]
