"""The service's description of itself."""

from tests.conftest import Serving


async def test_the_description_is_served_with_every_route(serving: Serving) -> None:
    async with serving() as client:
        described = (await client.get("/openapi.json")).json()

    assert {"/chat", "/api/chat", "/v1/chat/completions", "/search"} <= set(described["paths"])
