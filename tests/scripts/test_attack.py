import sys

import pytest

from scripts import attack
from tests.attacking import Victim


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org", "http://10.0.0.1:8080", "http://127.0.0.1.evil.example"),
        *("http://127.0.0.1@evil.example", "https://127.0.0.1", "127.0.0.1:8080", ""),
    ],
)
def test_no_other_machine_is_attacked(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["attack", "--url", url, "--pid", "1"])
    with pytest.raises(SystemExit, match="a service on this machine"):
        attack.main()


def test_a_service_that_runs_is_attacked_and_what_happened_is_shown(
    attacked: Victim, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--url", attacked.url, "--pid", str(attacked.pid), "--only", "a request's head"]
    monkeypatch.setattr(sys, "argv", ["attack", *given])
    monkeypatch.setattr(attack, "HEALTH_LIMIT_S", 5.0)  # with other tests on the same processors

    assert attack.main() == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("| 1 | a request's head without end | 44 MB each: 431, 431, 431, 431 |")
    assert last.endswith("| yes |")


def test_every_row_of_outside_attacks_is_made() -> None:
    assert {each.row for each in attack.ATTACKS} == {str(n) for n in range(1, 13)}
