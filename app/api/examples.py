"""Requests to try, as the API's description shows them; each is answered without any key."""

from typing import Any

_QUESTION = "Quanto capitale serve per una PT PMA?"


def _named(**examples: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        name: {"summary": summary, "value": value} for name, (summary, value) in examples.items()
    }


CHAT: Any = _named(
    question=("A question", {"message": _QUESTION}),
    stream=("The same as server-sent events", {"message": _QUESTION, "stream": True}),
    conversation=(
        "A conversation",
        {
            "messages": [
                {"role": "user", "content": "What is a PT PMA?"},
                {"role": "assistant", "content": "A company with foreign capital."},
                {"role": "user", "content": "How many shareholders does it need?"},
            ],
            "max_tokens": 400,
        },
    ),
    filters=(
        "Only recent documents in Indonesian",
        {
            "message": "Berapa tarif PPN?",
            "top_k": 5,
            "filters": {"languages": ["id"], "effective_from": "2020-01-01"},
        },
    ),
    tools=(
        "With the service's own tools",
        {"message": "Quanto costa aprire una PT PMA?", "tools": ["get_service_prices"]},
    ),
)

SEARCH: Any = _named(
    question=("A question", {"query": _QUESTION, "top_k": 3}),
    translated=(
        "A question with its translations, which find more",
        {
            "query": "How long does an investor KITAS last?",
            "translations": {"id": "Berapa lama KITAS investor berlaku?"},
            "filters": {"languages": ["en", "id"]},
        },
    ),
)

COMPLETIONS: Any = _named(
    question=(
        "From the knowledge base",
        {"model": "zantara", "messages": [{"role": "user", "content": _QUESTION}]},
    ),
    stream=(
        "The same in chunks, with the tokens at the end",
        {
            "model": "zantara",
            "messages": [
                {"role": "system", "content": "Answer in one sentence."},
                {"role": "user", "content": _QUESTION},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
    ),
    tools=(
        "With a tool of your own",
        {
            "model": "zantara",
            "messages": [{"role": "user", "content": "How much are 2.5 billion rupiah in euros?"}],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "exchange_rate",
                        "description": "Today's rate between two currencies",
                        "parameters": {
                            "type": "object",
                            "properties": {
                                "from": {"type": "string"},
                                "to": {"type": "string"},
                            },
                            "required": ["from", "to"],
                        },
                    },
                }
            ],
        },
    ),
)

UI_CHAT: Any = _named(
    question=(
        "What `useChat` posts",
        {
            "id": "chat-1",
            "trigger": "submit-message",
            "messages": [
                {
                    "id": "message-1",
                    "role": "user",
                    "parts": [{"type": "text", "text": _QUESTION}],
                }
            ],
        },
    ),
)
