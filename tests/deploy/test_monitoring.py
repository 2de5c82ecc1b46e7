"""The alerts and the dashboard in deploy/, against promtool and what the service serves."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from app.settings import ROOT
from tests.conftest import Serving
from tests.ops.test_metrics import samples
from tests.test_cli import free_port
from tests.upstream import Upstream, haiku_says, llama_says, status

DEPLOY = ROOT / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
TARGETS: list[str] = [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def promtool(*arguments: str, stdin: str | None = None) -> None:
    path = Path(sys.executable).with_name("promtool")
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip("promtool is missing: make .venv/bin/promtool says how to get it")
    done = subprocess.run(
        [str(path), *arguments], input=stdin, capture_output=True, text=True, cwd=DEPLOY
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_on_what_it_is_for_and_on_nothing_else() -> None:
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts.test.yml")


def test_every_alert_is_tested_and_explained() -> None:
    cases = yaml.safe_load((DEPLOY / "alerts.test.yml").read_text())["tests"]
    fired = {
        check["alertname"]
        for case in cases
        for check in case["alert_rule_test"]
        if check.get("exp_alerts")
    }

    assert fired == {rule["alert"] for rule in RULES}
    operations = (ROOT / "docs" / "operations.md").read_text()
    for rule in RULES:
        assert f"`{rule['alert']}`" in operations


def test_the_dashboards_expressions_are_promql(tmp_path: Path) -> None:
    expressions = [re.sub(r"\$__(rate_interval|range)", "5m", each) for each in TARGETS]
    rules = [{"record": f"panel:{n}", "expr": each} for n, each in enumerate(expressions)]
    recorded = tmp_path / "dashboard.yml"
    recorded.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "rules", str(recorded))


def test_the_dashboard_calls_the_index_ready_where_every_machine_has_it(tmp_path: Path) -> None:
    panel = next(panel for panel in DASHBOARD["panels"] if panel["title"] == "Index")
    series = [
        {"series": f'zantara_index_ready{{instance="{name}"}}', "values": value}
        for name, value in (("ready", "1"), ("not-ready", "0"))
    ]
    shown = {"expr": panel["targets"][0]["expr"], "exp_samples": [{"labels": "{}", "value": 0}]}
    case = {"interval": "1m", "input_series": series, "promql_expr_test": [shown]}
    written = tmp_path / "dashboard.test.yml"
    written.write_text(yaml.safe_dump({"tests": [case]}))

    promtool("test", "rules", str(written))


async def test_every_metric_that_is_watched_is_served_and_well_named(
    upstream: Upstream, serving: Serving
) -> None:
    upstream.llama(llama_says("Uno."), status(500))
    upstream.haiku(haiku_says("Due."))
    port = free_port()
    async with serving(metrics_port=port) as client, httpx.AsyncClient() as scraper:
        for _ in range(2):
            await client.post("/chat", json={"message": "Quanto capitale per una PT PMA?"})
        scraped = (await scraper.get(f"http://127.0.0.1:{port}/metrics")).text

    served = {key.partition("{")[0] for key in samples(scraped)}
    expressions = [*TARGETS, *(rule["expr"] for rule in RULES)]
    watched = {
        name for each in expressions for name in re.findall(r"(?:zantara|gen_ai_client)_\w+", each)
    }
    assert watched <= served, watched - served
    promtool("check", "metrics", stdin=scraped)


def test_the_panels_do_not_overlap_and_each_has_a_title() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        taken = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert panel["title"]
        assert max(x for x, _ in taken) < 24
        assert not cells & taken, panel["title"]
        cells |= taken
