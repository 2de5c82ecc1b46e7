"""A start that the operator can mend fails with one line, whatever server runs the app."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ZantaraError


class StartupErrorMiddleware:
    """Reports a `ZantaraError` of the lifespan as its message, without the traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but the report of a failed start, which waits for its reason."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failed.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure)
        except ZantaraError as error:
            if not failed:
                raise
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        except BaseException:
            for message in failed:
                await send(message)
            raise
