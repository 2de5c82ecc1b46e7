"""What the pages are sent with, and what they are made of."""

import hashlib
import json
import re

from app.api.pages import PAGES, VENDOR
from tests.conftest import Serving


async def test_the_page_lets_nothing_in_but_its_own_files(serving: Serving) -> None:
    async with serving() as client:
        page = await client.get("/")
        head = await client.head("/")
        script = await client.get("/static/chat.js")
        library = await client.get("/static/vendor/marked-18.2.1/marked.esm.js")
        outside = [
            (await client.get(f"/static/{path}")).status_code
            for path in ("..%2fchat.html", "..%2f..%2fmain.py", "%2fetc%2fpasswd", "vendor", "x.js")
        ]

    assert page.status_code == head.status_code == 200
    policy = page.headers["content-security-policy"]
    assert dict(rule.split(" ", 1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "lit-html dompurify",
    }
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert script.headers["cache-control"] == "no-cache"
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in library.headers["cache-control"]
    for response in (page, script, library):
        assert response.headers["x-content-type-options"] == "nosniff"
    assert outside == [404] * len(outside)


def test_every_vendored_file_is_the_published_one() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    listed = {
        f"{package['name']}-{package['version']}/{name}": digest
        for package in manifest["packages"]
        for name, digest in package["files"].items()
    }
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.glob("*/*")
    }
    assert found == listed
    assert all(package["licence"] for package in manifest["packages"])
    assert all("LICENSE" in package["files"] for package in manifest["packages"])


def test_the_pages_name_no_other_host_and_hold_no_inline_script_or_style() -> None:
    own = [path for path in PAGES.rglob("*") if path.is_file() and VENDOR not in path.parents]
    assert len(own) > 10
    for path in own:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://\w|<style|<script(?! type=\"module\" src)|\sstyle=", text)
