"""The forms of keys that detect-secrets does not know: the providers' and this service's own."""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class KeyFormatDetector(RegexBasedDetector):
    """Finds them wherever they stand, with or without quotes."""

    secret_type = "Key form of a provider or of ZANTARA"  # noqa: S105  # pragma: allowlist secret
    denylist = (
        re.compile(r"sk-or-v1-[0-9a-f]{32,}"),
        re.compile(r"sk-ant-[a-z]{3}[0-9]{2}-[\w-]{32,}"),
        re.compile(r"zantara-[A-Za-z0-9_-]{43}(?![\w-])"),
        re.compile(r"zantara-[0-9a-f]{64}(?![\w-])"),
    )
