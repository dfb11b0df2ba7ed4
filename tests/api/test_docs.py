"""`/docs` in a real browser that reaches nothing but this gateway."""

from pathlib import Path

import httpx
import pytest

from tests.browser import browsing
from tests.gateway import Gateway

METHODS = ("get", "post", "put", "patch", "delete")
HEALTH = (
    "[...document.querySelectorAll('.opblock')]"
    ".find(one => one.querySelector('.opblock-summary-path').textContent.includes('healthz'))"
)


@pytest.mark.slow
async def test_the_page_shows_every_operation_and_asks_nobody_else(stack: Gateway, tmp_path: Path) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        document = (await client.get(f"{stack.url}/openapi.json")).json()
    operations = sum(method in METHODS for item in document["paths"].values() for method in item)
    async with browsing(tmp_path) as page:
        await page.go(f"{stack.url}/docs")
        await page.until(f"document.querySelectorAll('.opblock').length === {operations}")
        await page.until("document.querySelector('.info .title').textContent.includes('Waystation')")
        # an operation opens, and is carried out from the page
        await page.value(f"{HEALTH}.querySelector('.opblock-summary-control').click()")
        await page.until(f"{HEALTH}.querySelector('.try-out__btn') !== null")
        await page.value(f"{HEALTH}.querySelector('.try-out__btn').click()")
        await page.until(f"{HEALTH}.querySelector('.execute') !== null")
        await page.value(f"{HEALTH}.querySelector('.execute').click()")
        shown = await page.until(f"{HEALTH}.querySelector('.live-responses-table')?.innerText")
        assert '"status": "ok"' in shown
        styled = await page.value("getComputedStyle(document.querySelector('.opblock')).borderRadius")
        assert styled not in ("", "0px"), "the style sheet is in force"
        strangers = [url for url in page.asked if not url.startswith((f"{stack.url}/", "data:", "about:"))]
        assert strangers == []
        assert page.complaints == []
    assert f"{stack.url}/healthz" in page.asked


async def test_the_page_is_ours_and_runs_no_inline_script(stack: Gateway) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "http" not in page.text, "no address but its own"
        for name, kind in (
            ("docs.js", "javascript"), ("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "css"),
        ):  # fmt: skip
            assert f'"docs/{name}"' in page.text
            answer = await client.get(f"/docs/{name}")
            assert answer.status_code == 200
            assert kind in answer.headers["content-type"]
        for path in ("/redoc", "/docs/", "/docs/oauth2-redirect", "/docs/../pyproject.toml", "/docs/docs.html"):
            assert (await client.get(path)).status_code == 404, path
