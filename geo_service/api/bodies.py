"""Request bodies that are read as bytes (another layer decodes them), still described in the OpenAPI document."""

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema


def json_body(description: str, example: Any) -> type[Operation]:
    """An `operation_class` for a handler that takes the raw body: JSON, described in words and by an example."""

    @dataclass
    class WithJsonBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(
                description=description,
                required=True,
                content={"application/json": OpenAPIMediaType(schema=Schema(), example=example)},
            )

    return WithJsonBody
