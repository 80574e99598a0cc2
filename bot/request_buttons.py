"""The buttons of a request's card, as its state allows them. Pure.

Buttons carry the request id and nothing else. The block that holds them is named after what they were drawn for (the plan, or
the place a rollout halts at), so that a click on an outdated card can be told from a click on the current one.
"""

from __future__ import annotations

from bot import views
from bot.domain import Choice, Halt, Request, RequestState, StepState

DECIDE_BLOCK = "decide"
HALT_BLOCK = "halt"
_AT_WORK = frozenset({StepState.RUNNING, StepState.UNDOING})


def decide_block(plan_hash: str) -> str:
    return f"{DECIDE_BLOCK}:{plan_hash[:16]}"


def is_current(block_id: str, request: Request) -> bool:
    """Whether the clicked buttons were drawn for the plan that is in force."""
    return block_id == decide_block(request.plan_hash)


def halt_block(halt: Halt) -> str:
    return f"{HALT_BLOCK}:{halt.at}"


def halted_at(block_id: str) -> str:
    """The place that the clicked buttons were drawn for; empty for what was typed."""
    kind, _, at = block_id.partition(":")
    return at if kind == HALT_BLOCK else ""


def find_halt(request: Request) -> Halt | None:
    """Where the request waits for a person now."""
    return next((one.halt for one in request.steps if one.halt and one.state in _AT_WORK), None)


def buttons(request: Request, confirm_label: str) -> list[views.Block]:
    if halt := find_halt(request):
        return _steering(request, halt)
    if request.state is RequestState.PROPOSED:
        elements = [
            views.button(confirm_label, action="confirm", value=request.id, style="primary"),
            views.button("Cancel", action="cancel", value=request.id),
        ]
    elif request.state is RequestState.AWAITING:
        elements = [
            views.button("Approve", action="approve", value=request.id, style="primary"),
            views.button("Deny…", action="deny", value=request.id, style="danger"),
            views.button("Cancel request", action="cancel", value=request.id),
        ]
    elif request.state is RequestState.STOPPED:
        elements = [
            views.button("Retry from here", action="retry", value=request.id, style="primary"),
            views.button(
                "Undo",
                action="undo",
                value=request.id,
                style="danger",
                confirm=views.confirmation(
                    "Undo what was done?",
                    "Everything this request did is taken back, the last step first.",
                    yes="Undo it",
                    danger=True,
                ),
            ),
        ]
    else:
        return []
    return views.actions(elements, block_id=decide_block(request.plan_hash))


def _steering(request: Request, halt: Halt) -> list[views.Block]:
    """A word that was given is not asked for again; *Abort* is offered until the rollout has gone on."""
    elements = []
    if halt.choice is None:
        elements.append(views.button("Continue", action="continue", value=request.id, style="primary"))
    if halt.choice is not Choice.ABORT:
        question = views.confirmation(
            "Abort the rollout?",
            "All traffic goes back to the revision before, and what this request did is undone.",
            yes="Abort it",
            danger=True,
        )
        elements.append(
            views.button("Abort", action="abort", value=request.id, style="danger", confirm=question)
        )
    return views.actions(elements, block_id=halt_block(halt)) if elements else []
