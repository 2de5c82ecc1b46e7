import re
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings import ROOT, Settings, load_settings

# Where the example shows something other than the default, on purpose.
SHOWN_AS_EXAMPLE = {
    "llama_price_input", "llama_price_output", "haiku_price_input", "haiku_price_output",
    "knowledge_dir", "metrics_port", "redis_url",
    "embeddings_url", "embeddings_model", "embeddings_dimensions",
}  # fmt: skip


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    pairs = (re.fullmatch(r"# ([A-Z_]+)=(.*)", line) for line in lines)
    return {match[1].lower(): match[2] for match in pairs if match}


def test_the_example_names_every_setting_and_shows_its_default() -> None:
    shown = example()

    assert set(shown) == set(Settings.model_fields)
    defaults = Settings(_env_file=None)
    given = {name: value for name, value in shown.items() if value}
    from_example = Settings.model_validate(given)
    for name in set(shown) - SHOWN_AS_EXAMPLE:
        assert getattr(from_example, name) == getattr(defaults, name), name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "0"),
        ("PORT", "eighty"),
        ("LOG_FORMAT", "xml"),
        ("FIRST_CONTENT_TIMEOUT_S", "-1"),
        ("OPENROUTER_BASE_URL", "openrouter.ai"),
        ("OPENROUTER_BASE_URL", "http://"),
        ("OPENROUTER_BASE_URL", "http://user:planted@127.0.0.1:11434/v1"),
        ("OPENROUTER_BASE_URL", "http://127.0.0.1:11434/v1?version=1"),
        ("ANTHROPIC_BASE_URL", "http://127.0.0.1:11434/#v1"),
        ("ANTHROPIC_BASE_URL", "http://models..example"),
        ("EMBEDDINGS_URL", "http://127.0.0.1:11434/v1"),
        ("OPENROUTER_BASE_URL", "http://exa mple:99999/x"),
        ("ANTHROPIC_API_KEY", "   "),
        ("FORCE_HAIKU", "perhaps"),
        ("METRICS_PORT", "8080"),
        ("ANTHROPIC_API_KEY", "sk-ant-planted\tX: y"),
        ("OPENROUTER_API_KEY_LLAMA", "sk-or-v1-chiave è"),
        ("REDIS_URL", "http://:planted@127.0.0.1:6379"),
    ],
)
def test_a_wrong_value_is_named_on_one_line(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    assert variable in str(caught.value)
    assert "planted" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_setting_that_was_removed_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("CHROMA_URL=\n")
    load_settings()
    (tmp_path / ".env").write_text("CHROMA_URL=http://127.0.0.1:8000\n")

    with pytest.raises(ConfigurationError, match=r"^CHROMA_URL is gone.* run one machine"):
        load_settings()


def test_an_addresss_ends_are_of_no_account() -> None:
    settings = Settings(_env_file=None, openrouter_base_url=" http://127.0.0.1:11434/v1/ ")
    assert settings.openrouter_base_url == "http://127.0.0.1:11434/v1"


def test_keys_show_in_no_representation() -> None:
    settings = Settings(
        _env_file=None,
        openrouter_api_key_llama="sk-or-v1-planted",
        anthropic_api_key="sk-ant-planted",
        redis_url="redis://:planted@127.0.0.1:6379/0",
    )

    assert "planted" not in f"{settings!r}{settings}{settings.model_dump_json()}"


def test_white_space_round_a_pasted_key_does_no_harm() -> None:
    settings = Settings(_env_file=None, anthropic_api_key=" sk-ant-x\n")

    assert settings.anthropic_api_key is not None
    assert settings.anthropic_api_key.get_secret_value() == "sk-ant-x"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENROUTER_API_KEY_LLAMA", "")

    assert load_settings().openrouter_api_key_llama is None
