"""Request bodies: whatever they hold, reading them ends in a value or in one clear refusal."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema

from geo_service.decoding import decode_json

_any = msgspec.json.Decoder()


class JsonRequest(Request[Any, Any, Any]):
    """A request whose JSON is read as everywhere at our border: bad UTF-8 and deep nesting are refusals, not crashes."""

    async def json(self) -> Any:
        """The body; an empty one is None.

        Raises:
            InvalidInputError: it is not JSON.
        """
        return decode_json(_any, await self.body() or b"null")


def json_body(description: str, example: Any) -> type[Operation]:
    """An `operation_class` for a handler that takes the raw body (another layer decodes it): described by an example."""

    @dataclass
    class WithJsonBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(
                description=description,
                required=True,
                content={"application/json": OpenAPIMediaType(schema=Schema(), example=example)},
            )

    return WithJsonBody
