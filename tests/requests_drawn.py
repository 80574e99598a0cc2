"""Requests as hypothesis draws them: every state, nasty texts wherever somebody outside may write, lists of any length."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from bot.domain import (
    Approval,
    Change,
    Cost,
    Decision,
    Gate,
    Link,
    Plan,
    PlannedCommit,
    PlannedFile,
    PlannedStep,
    Request,
    RequestState,
    StepRecord,
    StepState,
    Verdict,
    plan_hash,
)

FORGED = "FORGED"
"""Stands where a line of the bot would begin if foreign text could make one."""
NASTY = (
    "",
    " ",
    "<!channel>",
    "<@UEVIL00001>",
    "<#C123|general>",
    "<https://evil.example|Approve here>",
    "https://evil.example|x>",
    f"a\n{FORGED} :white_check_mark: approved by the platform",
    f"a\r\n{FORGED}",
    f"a\u2028{FORGED}",
    f"a\x0b{FORGED}",
    f"` code\n{FORGED}",
    "*bold* _it_ ~s~ `c` > q & &amp; &lt;",
    "```fence",
    "é" * 40,
    "x" * 3100,
    "&" * 3100,
    "<" * 700,
    "\x00\u202e",
)
texts = st.one_of(st.sampled_from(NASTY), st.text(max_size=20))
"""Foreign: typed by people, or said by backends and commits."""
revisions = st.text("0123456789abcdef", min_size=40, max_size=40)
people = st.sampled_from(("UALICE0001", "ULENA00001", "WQUINN0001"))
moments = st.integers(0, 10**7).map(
    lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)
RULES = ("production-approval", "second-pair-of-eyes", "freeze")


def several(one: st.SearchStrategy[object], most: int = 4) -> st.SearchStrategy[tuple[object, ...]]:
    """Usually a few; now and then very many of one kind."""
    few = st.lists(one, max_size=most).map(tuple)
    many = st.tuples(one, st.integers(50, 99)).map(lambda drawn: (drawn[0],) * drawn[1])
    return st.one_of(few, few, few, many)


changes = st.builds(
    Change,
    kind=st.sampled_from(("repository", "claim", "ref")),
    action=st.sampled_from(("create", "move", "deploy", "register", "delete", "replace")),
    name=texts,
    environment=texts,
    detail=texts,
)
commits = st.builds(PlannedCommit, sha=revisions, subject=texts, author_name=texts, author_email=texts)
files = st.builds(PlannedFile, path=texts, status=st.just("modified"))
costs = st.builds(
    Cost,
    currency=st.just("EUR"),
    monthly=st.floats(0, 1e6),
    lines=st.lists(st.tuples(texts, st.floats(0, 1e6)), max_size=4).map(tuple),
)
planned_steps = st.builds(PlannedStep, key=st.sampled_from(("a", "b")), title=texts, undo_title=texts)
plans = st.builds(
    Plan,
    command=st.sampled_from(("promote", "create-service", "rollback")),
    title=texts,
    summary=texts,
    service=texts,
    team=st.just("orders"),
    environment=st.sampled_from(("", "production")),
    changes=several(changes),
    steps=st.lists(planned_steps, max_size=3).map(tuple),
    commits=several(commits, 12),
    files=several(files, 9),
    facts=st.fixed_dictionaries({}, optional={"source_revision": texts, "goal_revision": texts}),
    notes=several(texts),
    cost=st.one_of(st.none(), costs),
    announce=texts,
)
gates = st.builds(
    Gate,
    rule=st.sampled_from(RULES),
    verdict=st.sampled_from(Verdict),
    reason=texts,
    fix=texts,
    exception=st.one_of(st.just(""), texts),
    needed=st.integers(0, 2),
)


@st.composite
def requests(draw: st.DrawFn, *, state: RequestState | None = None, planned: bool | None = None) -> Request:
    plan = draw(plans) if planned or (planned is None and draw(st.integers(0, 9))) else None
    drawn_gates = draw(st.lists(gates, max_size=3, unique_by=lambda one: one.rule).map(tuple))
    current = plan_hash(plan, drawn_gates) if plan else ""
    approvals = st.builds(
        Approval,
        request_id=st.just("r-7k2m9xq"),
        user_id=people,
        decision=st.sampled_from(Decision),
        rule=st.sampled_from(RULES),
        plan_hash=st.sampled_from((current, "0" * 64)),
        reason=texts,
        decided_at=moments,
    )
    steps = st.builds(
        StepRecord,
        request_id=st.just("r-7k2m9xq"),
        position=st.just(0),
        key=st.sampled_from(("a", "b")),
        title=texts,
        state=st.sampled_from(StepState),
        detail=texts,
        error=texts,
        links=st.lists(st.builds(Link, title=texts, url=st.one_of(texts, st.just("https://ok.example/x"))), max_size=2).map(tuple),
        started_at=st.one_of(st.none(), moments),
        finished_at=st.one_of(st.none(), moments),
    )  # fmt: skip
    return Request(
        id="r-7k2m9xq",
        command=plan.command if plan else "promote",
        requester=draw(people),
        requester_name=draw(texts),
        team_id="TACME00001",
        channel_id="CORDERS001",
        team=draw(texts),
        service=draw(texts),
        environment="production",
        arguments={},
        state=state or draw(st.sampled_from(RequestState)),
        version=1,
        created_at=draw(moments),
        updated_at=draw(moments),
        due_at=draw(st.one_of(st.none(), moments)),
        plan=plan,
        gates=drawn_gates,
        plan_hash=current,
        plan_changes=draw(several(texts)),  # type: ignore[arg-type]
        approvals=draw(st.lists(approvals, max_size=4).map(tuple)),
        steps=draw(several(steps)),  # type: ignore[arg-type]
        outcome=draw(texts),
        run=0,
    )


def in_state(request: Request, state: RequestState) -> Request:
    return replace(request, state=state)
