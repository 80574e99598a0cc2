"""What Backstage's scaffolder answers, in our words: templates, tasks, their logs. Pure: no I/O, no settings.

Shapes are those of `@backstage/plugin-scaffolder-backend` 4.2.0 (router, StorageTaskBroker, TaskWorker); fields that are not used
are ignored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field, TypeAdapter

from integrations._backstage_shapes import parsed
from integrations._http import Answer
from integrations.ports import Parameter, Phase, ScaffolderTask, ScaffolderTemplate

S = TypeVar("S", bound=BaseModel)
REQUEST_KEY: Final = "platform_request_id"
"""The value that makes a task findable as ours: tasks have no labels, and creating one is not idempotent."""
LINES_SHOWN: Final = 4
LINE_LENGTH: Final = 160
STUCK_SECONDS: Final = 300.0
"""A task that nobody has begun for so long: workers have died silently before 4.2.0."""

PHASES: Final[Mapping[str, Phase]] = {
    "open": Phase.PENDING,
    "processing": Phase.RUNNING,
    "completed": Phase.READY,
    "failed": Phase.FAILED,
    "cancelled": Phase.FAILED,
    "skipped": Phase.FAILED,
}


class TemplateMetadata(BaseModel):
    name: str
    title: str = ""
    description: str = ""


class TemplateSpec(BaseModel):
    parameters: Any = None
    steps: list[dict[str, Any]] = []
    output: Any = None


class Template(BaseModel):
    kind: str
    metadata: TemplateMetadata
    spec: TemplateSpec


class TemplatePage(BaseModel):
    items: list[Template]


class TaskSpec(BaseModel):
    parameters: dict[str, Any] = {}


class Task(BaseModel):
    id: str
    status: str
    created_at: datetime = Field(alias="createdAt")
    spec: TaskSpec = TaskSpec()

    @property
    def phase(self) -> Phase:
        return PHASES.get(self.status, Phase.UNKNOWN)

    @property
    def request_id(self) -> str:
        return str(self.spec.parameters.get(REQUEST_KEY, ""))


class TaskPage(BaseModel):
    tasks: list[Task]


class Started(BaseModel):
    id: str


class EventError(BaseModel):
    message: str = ""


class EventBody(BaseModel):
    message: str = ""
    step: str = Field(default="", alias="stepId")
    status: str = ""
    output: dict[str, Any] | None = None
    error: EventError | None = None


class Event(BaseModel):
    type: str
    body: EventBody


_EVENTS: Final = TypeAdapter(list[Event])


# ---------------------------------------------------------------- parsing


def parse(shape: type[S], answer: Answer) -> S:
    """Raises TemporaryBackendError for an answer of another shape, as `parsed`."""
    return parsed(TypeAdapter(shape), answer)


def parse_events(answer: Answer) -> list[Event]:
    return parsed(_EVENTS, answer)


# ---------------------------------------------------------------- templates


def to_template(template: Template) -> ScaffolderTemplate:
    steps = [str(step.get("name") or step.get("action") or "") for step in template.spec.steps]
    return ScaffolderTemplate(
        name=template.metadata.name,
        title=template.metadata.title or template.metadata.name,
        description=template.metadata.description,
        revision=revision_of(template),
        parameters=parameters_of(template.spec.parameters),
        steps=tuple(filter(None, steps)),
    )


def revision_of(template: Template) -> str:
    """Hash of what the template asks and does: a catalog entity has no version of its own."""
    canonical = json.dumps(template.spec.model_dump(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def parameters_of(parameters: Any) -> tuple[Parameter, ...]:
    """From JSON Schema pages, which may be one or several; nested and conditional questions stay Backstage's."""
    pages = parameters if isinstance(parameters, list) else [parameters] if parameters else []
    found: dict[str, Parameter] = {}
    for page in pages:
        required = page.get("required") or []
        for name, schema in (page.get("properties") or {}).items():
            found[name] = Parameter(
                name=name,
                title=str(schema.get("title") or name),
                description=str(schema.get("description") or ""),
                default=_text(schema.get("default")),
                choices=tuple(_text(one) for one in schema.get("enum") or ()),
                required=name in required,
            )
    return tuple(found.values())


def typed_values(parameters: Any, values: Mapping[str, str]) -> dict[str, Any]:
    """What was typed as text, as the type that the template's JSON Schema asks for. Raises ValueError naming the parameter."""
    pages = parameters if isinstance(parameters, list) else [parameters] if parameters else []
    types = {
        name: schema.get("type", "string")
        for page in pages
        for name, schema in (page.get("properties") or {}).items()
    }
    return {name: _typed(name, types.get(name, "string"), value) for name, value in values.items()}


def _typed(name: str, kind: str, value: str) -> Any:
    if kind == "boolean":
        known = {"true": True, "yes": True, "false": False, "no": False}
        if value.lower() not in known:
            raise ValueError(f"{name}: “{value}” is not true or false")
        return known[value.lower()]
    if kind in ("integer", "number"):
        try:
            return int(value) if kind == "integer" else float(value)
        except ValueError:
            raise ValueError(f"{name}: “{value}” is not a number") from None
    if kind in ("array", "object"):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError(f"{name}: “{value}” is not JSON of type {kind}") from None
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


# ---------------------------------------------------------------- tasks


def to_task(
    task: Task, events: Sequence[Event], *, now: datetime, repository_output: str, web_url: str
) -> ScaffolderTask:
    output = next((one.body.output for one in reversed(events) if one.body.output), {})
    links = [one for one in output.get("links") or [] if isinstance(one, dict)]
    lines = [
        _line(one.body)
        for one in events
        if one.type in ("log", "completion", "cancelled") and one.body.message
    ]
    return ScaffolderTask(
        id=task.id,
        phase=task.phase,
        message=_message(task, events, now=now),
        events=tuple(lines[-LINES_SHOWN:]),
        repository=str(output.get(repository_output) or ""),
        entity=str(
            output.get("entityRef") or next((one["entityRef"] for one in links if one.get("entityRef")), "")
        ),
        web_url=web_url,
    )


def _line(body: EventBody) -> str:
    line = " ".join(body.message.split())
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}…"


def _message(task: Task, events: Sequence[Event], *, now: datetime) -> str:
    if task.status == "open":
        waited = (now - task.created_at).total_seconds()
        if waited > STUCK_SECONDS:
            minutes = int(waited // 60)
            return f"Backstage has not begun for {minutes} min; its task workers may be dead or busy"
        return "waiting for a task worker of Backstage"
    if task.phase is Phase.FAILED:
        why = next((one.body.error.message for one in reversed(events) if one.body.error), "")
        return f"Backstage's task {task.status}" + (f": {why}" if why else "")
    if task.phase is Phase.RUNNING:
        step = next((one.body.step for one in reversed(events) if one.body.step), "")
        return f"running step {step}" if step else "running"
    return "done" if task.phase is Phase.READY else f"Backstage says {task.status}"
