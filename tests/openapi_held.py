"""What a vendor published of its HTTP API, and the fakes' requests and answers held against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent / "integrations"


@dataclass(frozen=True)
class Description:
    """An OpenAPI document; `info.x-source` says which package it comes from."""

    spec: Mapping[str, Any]

    @classmethod
    def read(cls, name: str) -> Description:
        return cls(json.loads((FOLDER / name).read_text(encoding="utf-8")))

    def operation(self, request: httpx.Request, path: str) -> Mapping[str, Any]:
        """The operation this request is; fails where the description has no such thing, or not with such a body."""
        for pattern, operations in self.spec["paths"].items():
            parts, given = pattern.split("/"), path.split("/")
            same = len(parts) == len(given) and all(
                one == other or one.startswith("{") for one, other in zip(parts, given, strict=True)
            )
            if same and request.method.lower() in operations:
                operation: Mapping[str, Any] = operations[request.method.lower()]
                self._hold_request(operation, request)
                return operation
        raise AssertionError(f"{self.spec['info']['title']} has no {request.method} {path}")

    def _hold_request(self, operation: Mapping[str, Any], request: httpx.Request) -> None:
        parameters = [self._resolved(one) for one in operation.get("parameters", [])]
        known = {one["name"]: one for one in parameters}
        for name, value in request.url.params.items():
            assert known[name]["in"] == "query"
            schema = known[name]["schema"]
            if enum := schema.get("enum"):
                assert value in enum
            if schema["type"] == "integer":
                assert int(value) >= schema.get("minimum", 0)
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self._validate(schema, json.loads(request.content))

    def hold(self, operation: Mapping[str, Any], response: httpx.Response) -> None:
        """This answer is one that the vendor's server could give."""
        answers = operation["responses"]
        answer = self._resolved(answers.get(str(response.status_code), answers.get("default")))
        if "content" in answer:
            self._validate(answer["content"]["application/json"]["schema"], response.json())

    def _resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            place: Any = self.spec
            for key in node["$ref"].removeprefix("#/").split("/"):
                place = place[key]
            node = place
        return node

    def _validate(self, schema: Mapping[str, Any], document: Any) -> None:
        Draft202012Validator({**schema, "components": self.spec["components"]}).validate(document)
