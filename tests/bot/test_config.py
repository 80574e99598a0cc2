"""platform.yml and the environment: what is accepted, and how everything wrong is told at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import people_made as made
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bot import config
from bot.config_model import seconds
from bot.domain import EvidenceRule, PersonEntry, WatchRule
from bot.errors import ConfigError, Problem

EXAMPLE = made.EXAMPLE.read_text(encoding="utf-8")
Edit = Callable[[Any], object]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., config.Config]:
    """Load a text, or the example with changes, as tmp_path/platform.yml."""

    def loaded(source: str | Edit = EXAMPLE, environ: dict[str, str] | None = None) -> config.Config:
        if not isinstance(source, str):
            data = yaml.safe_load(EXAMPLE)
            source(data)
            source = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        file = tmp_path / "platform.yml"
        file.write_text(source, encoding="utf-8")
        return config.load(file, environ or {})

    return loaded


@pytest.fixture
def problems(load: Callable[..., config.Config]) -> Callable[..., list[Problem]]:
    def found(source: str | Edit = EXAMPLE, environ: dict[str, str] | None = None) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            load(source, environ)
        return list(caught.value.problems)

    return found


def put(*path: str | int, value: Any) -> Edit:
    def edit(data: Any) -> None:
        for part in path[:-1]:
            data = data[part]
        data[path[-1]] = value

    return edit


def drop(*path: str | int) -> Edit:
    def edit(data: Any) -> None:
        for part in path[:-1]:
            data = data[part]
        del data[path[-1]]

    return edit


# ---------------------------------------------------------------- what is accepted


def test_the_example_means_what_it_says(load: Callable[..., config.Config]) -> None:
    loaded = load()
    platform = loaded.platform
    assert platform.name == "Acme Platform"
    assert [one.name for one in platform.environments] == ["staging", "production"]
    assert platform.before("production") == platform.environments[0]
    assert platform.environments[0].approval is None
    assert platform.environments[1].approval is not None
    assert platform.members["orders"]["team_lead"] == (PersonEntry(user_group="orders-leads"),)
    assert platform.members["orders"]["senior_developer"] == (PersonEntry(email="omar@example.com"),)
    assert platform.members["orders"]["developer"] == (PersonEntry(user_id="UALICE0001"),)
    assert platform.aliases == {"UALICE0001": frozenset({"alice@users.example.com"})}
    assert platform.teams["orders"].deploy_channel_ids == {"production": "CDEPLOYS01"}
    assert (platform.request_ttl_seconds, platform.proposal_ttl_seconds) == (86400, 3600)
    assert loaded.integrations["delivery"].use == "local_processes"


def test_the_example_names_people_and_channels_of_the_playground() -> None:
    workspace = yaml.safe_load((made.ROOT / "playground" / "workspace.yml").read_text(encoding="utf-8"))
    known = {one["id"] for kind in ("people", "channels") for one in workspace[kind]}
    known |= {one["email"] for one in workspace["people"] if "email" in one}
    known |= {f"@{one['handle']}" for one in workspace["user_groups"]}
    platform = made.example_platform()
    named = {str(entry) for entry in platform.platform_admins} | set(platform.aliases)
    for team, roles in platform.members.items():
        named |= {str(entry) for entries in roles.values() for entry in entries}
        named |= {platform.teams[team].channel_id, *platform.teams[team].deploy_channel_ids.values()}
    assert platform.slack_team_id == workspace["team"]["id"]
    assert named <= known


def test_a_role_holds_what_it_includes() -> None:
    roles = made.example_platform().roles
    assert roles["developer"].permissions < roles["senior_developer"].permissions
    assert roles["senior_developer"].permissions < roles["team_lead"].permissions


def test_a_team_may_name_its_own_deploy_channel(load: Callable[..., config.Config]) -> None:
    edit = put("teams", "orders", "notifications", value={"deployments": {"staging": "CORDERS001"}})
    channels = load(edit).platform.teams["orders"].deploy_channel_ids
    assert channels == {"production": "CDEPLOYS01", "staging": "CORDERS001"}


@pytest.mark.parametrize("none", ["none", None])
def test_no_approval_is_written_as_none(load: Callable[..., config.Config], none: str | None) -> None:
    assert load(put("environments", 1, "approval", value=none)).platform.environments[1].approval is None


def test_what_is_judged_before_and_after_a_promotion(load: Callable[..., config.Config]) -> None:
    def edit(data: Any) -> None:
        data["environments"][1]["evidence"] = {"critical_vulnerabilities": 0}
        data["environments"][1]["watch"] = {"for": "10m", "success_ratio": 0.99}
        data["integrations"]["evidence"] = {"use": "kubernetes_reports"}
        data["integrations"]["signals"] = {"use": "prometheus"}

    loaded = load(edit)
    production = loaded.platform.environments[1]
    assert production.evidence == EvidenceRule(critical_vulnerabilities=0)
    assert production.watch == WatchRule(seconds=600, success_ratio=0.99)
    assert loaded.integrations["signals"].use == "prometheus"
    assert "scaffolder" not in loaded.integrations


@pytest.mark.parametrize(
    ("key", "rule", "port"),
    [
        ("evidence", {"critical_vulnerabilities": 0}, "evidence"),
        ("watch", {"success_ratio": 0.9}, "signals"),
    ],
)
def test_a_rule_that_no_backend_answers_is_refused(
    problems: Callable[..., list[Problem]], key: str, rule: Any, port: str
) -> None:
    (problem,) = problems(put("environments", 1, key, value=rule))
    assert f"environments[1].{key}" in problem.path
    assert f"without integrations.{port}" in problem.value


@pytest.mark.parametrize(("text", "expected"), [("90m", 5400), ("24h", 86400), ("7d", 604800), ("30s", 30)])
def test_spans_of_time(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_new_members_leave_waiting_plans_alone_and_new_rules_do_not(
    load: Callable[..., config.Config],
) -> None:
    before = load().platform.version
    assert load(put("teams", "orders", "members", "developer", value=[])).platform.version == before
    assert load(put("environments", 1, "approval", "count", value=2)).platform.version != before
    assert load(put("prices", "monthly", "redis:small", value=7)).platform.version != before


# ---------------------------------------------------------------- what is refused


def roles_in_a_circle(data: Any) -> None:
    data["roles"]["developer"]["includes"] = "team_lead"


def production_shares_a_branch(data: Any) -> None:
    data["environments"].append({"name": "edge", "release_ref": "release"})


def staging_again(data: Any) -> None:
    data["environments"].append({"name": "staging", "release_ref": "other"})


WRONG: list[tuple[str, Edit, str, str, str]] = [
    ("missing section", drop("slack"), "slack", "missing", "The Slack workspace"),
    ("missing key", drop("teams", "orders", "channel"), "teams.orders.channel", "missing", "Where requests"),
    ("unknown key", put("teams", "orders", "chanel", value="C1"), "teams.orders.chanel", "unknown key", "did you mean channel?"),
    ("unknown section", put("team", value={}), "team", "unknown key", "did you mean teams?"),
    ("channel name", put("teams", "orders", "channel", value="#orders"), "teams.orders.channel", '"#orders"', "id of a Slack channel"),
    ("list for text", put("platform", "name", value=["x"]), "platform.name", '["x"]', "string"),
    ("person", put("platform_admins", 0, value="Sam Sato"), "platform_admins[0]", '"Sam Sato"', "e-mail address"),
    ("workspace", put("slack", "team_id", value="acme"), "slack.team_id", '"acme"', "T…"),
    ("e-mail", put("people", 0, "emails", 0, value="alice"), "people[0].emails[0]", '"alice"', "an e-mail address"),
    ("environment name", put("environments", 1, "name", value="Prod!"), "environments[1].name", '"Prod!"', "lower-case"),
    ("duration", put("rules", "request_expires_after", value="soon"), "rules.request_expires_after", '"soon"', "24h"),
    ("branch", put("environments", 0, "follows", value="--force"), "environments[0].follows", '"--force"', "git branch"),
    ("count", put("environments", 1, "approval", "count", value=0), "environments[1].approval.count", "0", "greater than or equal to 1"),
    ("price", put("prices", "monthly", "gold", value=1), "prices.monthly.gold", '"gold"', "postgresql:small"),
    ("negative price", put("prices", "monthly", "redis:small", value=-1), "prices.monthly.redis:small", "-1", "greater than"),
    ("no backend", drop("integrations", "delivery"), "integrations.delivery", "missing", "Runs revisions"),
    ("unknown port", put("integrations", "deliver", value={"use": "x"}), "integrations.deliver", "unknown key", "did you mean delivery?"),
    # between sections
    ("unknown role included", put("roles", "team_lead", "includes", value="senior"), "roles.team_lead.includes", '"senior"', "senior_developer"),
    ("roles in a circle", roles_in_a_circle, "roles.developer.includes", '"team_lead"', "does not include this one"),
    ("required role", drop("roles", "platform_admin"), "roles", '"no platform_admin"', "a role platform_admin"),
    ("permission elsewhere", put("roles", "developer", "may", 0, value="promote:prod"), "roles.developer.may[0]", '"promote:prod"', "promote:production"),
    ("member's role", put("teams", "orders", "members", "lead", value=[]), "teams.orders.members.lead", '"lead"', "team_lead"),
    ("admin in a team", put("teams", "orders", "members", "platform_admin", value=[]), "teams.orders.members.platform_admin", '"platform_admin"', "team_lead"),
    ("environment twice", staging_again, "environments[2].name", '"staging"', "each once"),
    ("release ref twice", production_shares_a_branch, "environments[2].release_ref", '"release"', "environments[1] has it"),
    ("first follows", drop("environments", 0, "follows"), "environments[0]", '"follows nothing"', "follows: BRANCH"),
    ("second follows", put("environments", 1, "follows", value="main"), "environments[1].follows", '"main"', "only the first"),
    ("approvers", put("environments", 1, "approval", "from", value="leads"), "environments[1].approval.from", '"leads"', "team_leads"),
    ("approvers may not", put("environments", 1, "approval", "from", value="developer"), "environments[1].approval.from", '"developer"', "approve:production"),
    ("creation approvers", put("rules", "create_service_approval", value={"from": "boss"}), "rules.create_service_approval.from", '"boss"', "team_leads"),
    ("price elsewhere", put("prices", "monthly", "service:prod", value=1), "prices.monthly.service:prod", '"service:prod"', "service:production"),
    ("notification elsewhere", put("notifications", "deployments", "prod", value="CDEPLOYS01"), "notifications.deployments.prod", '"prod"', "production"),
    ("golden path twice", put("golden_paths", 1, value="python-service"), "golden_paths[1]", '"python-service"', "each once"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("edit", "path", "value", "accepted"), [one[1:] for one in WRONG], ids=[one[0] for one in WRONG]
)
def test_a_mistake_is_told_with_its_place_its_value_and_what_is_accepted(
    problems: Callable[..., list[Problem]], edit: Edit, path: str, value: str, accepted: str
) -> None:
    found = problems(edit)
    assert len(found) == 1, [str(one) for one in found]
    (one,) = found
    assert one.file == "platform.yml"
    assert one.path.split(" (line")[0] == path
    assert one.value == value
    assert accepted in one.accepted


def test_one_address_belongs_to_one_person(problems: Callable[..., list[Problem]]) -> None:
    two = [
        {"slack": "UALICE0001", "emails": ["a@example.com"]},
        {"slack": "UOMAR00001", "emails": ["A@example.com"]},
    ]
    (one,) = problems(put("people", value=two))
    assert one.path.startswith("people[1].emails[0]")
    assert "UALICE0001" in one.accepted


def test_everything_wrong_is_told_at_once(problems: Callable[..., list[Problem]]) -> None:
    text = EXAMPLE.replace("name: Acme Platform", "name: Acme Platform\n  nmae: again")
    text = text.replace("channel: CPAYMENT01", "channel: payments")
    text = text.replace("  - name: production", "  - name: staging")
    text = text.replace("includes: developer", "includes: develper")
    found = problems(text, {"SLACK_BOT_TOKEN": "xapp-mixed-up", "DATABASE_URL": "mysql://x"})
    assert {one.path.split(" (line")[0] for one in found} >= {
        "platform.nmae",
        "teams.payments.channel",
        "environments[1].name",
        "roles.senior_developer.includes",
        "SLACK_BOT_TOKEN",
        "DATABASE_URL",
    }


def test_a_problem_names_its_line(problems: Callable[..., list[Problem]]) -> None:
    text = EXAMPLE.replace("channel: CPAYMENT01", "channel: payments")
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "channel: payments" in line)
    (one,) = problems(text)
    assert one.path == f"teams.payments.channel (line {line})"
    assert str(one) == (
        f'platform.yml: teams.payments.channel (line {line}): "payments"; '
        "accepted: the id of a Slack channel (C…), not its name"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("teams: [", "line 1"),
        ("- a\n- b\n", "no mapping"),
        ("", "no mapping"),
        ("just text", "no mapping"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("a: *nobody\n", "undefined alias"),
        ("a: &a [*a]\n", "alias"),
        ("a: 2026-99-99\n", "month must be in 1..12"),
        ("a: !!python/object:os.system {}\n", "could not determine a constructor"),
        ("a: \x07\n", "special characters are not allowed"),
        ("? [a, b]\n: c\n", "unhashable"),
    ],
)
def test_a_text_that_is_no_configuration_is_one_clear_problem(
    problems: Callable[..., list[Problem]], text: str, words: str
) -> None:
    (one,) = problems(text)
    assert words in str(one)


def test_a_key_written_twice_is_a_mistake(problems: Callable[..., list[Problem]]) -> None:
    found = problems(EXAMPLE + "\nslack:\n  team_id: TACME00001\n")
    assert [one.path.split(" (line")[0] for one in found] == ["slack"]
    assert "a second time" in found[0].value


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, words in [(tmp_path / "none.yml", "No such file"), (tmp_path, "directory"), (binary, "UTF-8")]:
        with pytest.raises(ConfigError, match=re.escape(str(path))) as caught:
            config.load(path, {})
        assert words in str(caught.value)


def test_a_secret_that_strayed_into_the_file_is_not_repeated(
    problems: Callable[..., list[Problem]],
) -> None:
    token = "xoxb-" + "1234567890-secret"
    found = problems(put("platform", "name", value=[token]))
    assert token not in "".join(map(str, found))


@given(
    junk=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    section=st.sampled_from(sorted(yaml.safe_load(EXAMPLE))),
)
def test_no_value_anywhere_gets_past_as_a_crash(
    tmp_path_factory: pytest.TempPathFactory, junk: Any, section: str
) -> None:
    data = {**yaml.safe_load(EXAMPLE), section: junk}
    file = tmp_path_factory.getbasetemp() / "junk.yml"
    file.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    with suppress(ConfigError):
        config.load(file, {})


# ---------------------------------------------------------------- secrets


def test_secrets_come_from_the_environment_or_a_file_it_names(
    load: Callable[..., config.Config], tmp_path: Path
) -> None:
    file = tmp_path / "signing"
    file.write_text("s3cret\n", encoding="utf-8")
    environ = {
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_SIGNING_SECRET_FILE": str(file),
        "SLACK_API_URL": "http://127.0.0.1:9/api",
        "GITHUB_TOKEN": "ghp_1",
    }
    secrets = load(environ=environ).secrets
    assert secrets.slack_bot_token.get_secret_value() == "xoxb-1"
    assert secrets.slack_signing_secret.get_secret_value() == "s3cret"
    assert secrets.slack_api_url == "http://127.0.0.1:9/api/"
    assert secrets.others["GITHUB_TOKEN"].get_secret_value() == "ghp_1"
    assert "SLACK_BOT_TOKEN" not in secrets.others
    assert not {"xoxb-1", "s3cret", "ghp_1"} & set(re.findall(r"[\w-]+", repr(load(environ=environ))))


def test_the_database_is_a_file_in_the_state_folder_unless_told_otherwise(
    load: Callable[..., config.Config], tmp_path: Path
) -> None:
    loaded = load(environ={"PLATFORM_STATE": str(tmp_path / "state")})
    assert loaded.state_folder == tmp_path / "state"
    assert loaded.secrets.database_url.get_secret_value() == f"sqlite:///{tmp_path}/state/platform.db"
    chosen = load(environ={"DATABASE_URL": "postgresql://bot:secret@db/platform"})
    assert chosen.secrets.database_url.get_secret_value() == "postgresql://bot:secret@db/platform"


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"SLACK_BOT_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN"),
        ({"SLACK_APP_TOKEN": "xoxb-1"}, "SLACK_APP_TOKEN"),
        ({"SLACK_API_URL": "example.test"}, "SLACK_API_URL"),
        ({"DATABASE_URL": "mysql://root:hunter2@db/x"}, "DATABASE_URL"),
        ({"SLACK_APP_TOKEN_FILE": "/nowhere/token"}, "SLACK_APP_TOKEN_FILE"),
        ({"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_BOT_TOKEN_FILE": "/nowhere"}, "SLACK_BOT_TOKEN"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not(
    problems: Callable[..., list[Problem]], environ: dict[str, str], path: str
) -> None:
    (one,) = problems(environ=environ)
    assert one.file == "environment"
    assert one.path == path
    assert not any(value in str(one) for name, value in environ.items() if not name.endswith("_FILE"))


def test_files_that_other_variables_name_are_nobodys_mistake(load: Callable[..., config.Config]) -> None:
    load(environ={"SSL_CERT_FILE": "/nowhere/ca.pem"})


@pytest.mark.parametrize(
    ("app_token", "missing"),
    [
        (True, {"SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN"}),
        (False, {"SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"}),
    ],
)
def test_what_slack_needs_is_asked_for_when_slack_is_needed(
    load: Callable[..., config.Config], app_token: bool, missing: set[str]
) -> None:
    secrets = load().secrets
    with pytest.raises(ConfigError) as caught:
        secrets.require_slack(app_token=app_token)
    assert {one.path for one in caught.value.problems} == missing


# ---------------------------------------------------------------- for editors and readers


def test_the_schema_for_editors_is_the_code() -> None:
    stored = json.loads((made.ROOT / "docs" / "platform.schema.json").read_text(encoding="utf-8"))
    assert stored == config.json_schema(), "run: python -m bot schema > docs/platform.schema.json"


def test_the_schema_accepts_the_example_and_the_example_names_the_schema() -> None:
    jsonschema.Draft202012Validator(config.json_schema()).validate(yaml.safe_load(EXAMPLE))
    assert EXAMPLE.startswith("# yaml-language-server: $schema=docs/platform.schema.json\n")


def documented() -> set[str]:
    text = (made.ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+)`", text, flags=re.MULTILINE))


def keys(schema: dict[str, Any], node: dict[str, Any], path: str = "") -> set[str]:
    """Every key of the schema by its path, with NAME for names a person chooses and [] for a list's items."""
    node = next((one for one in node.get("anyOf", []) if "$ref" in one), node)
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    found = {path} if path and not path.endswith(("[]", "NAME")) else set()
    for name, inner in node.get("properties", {}).items():
        found |= keys(schema, inner, f"{path}.{name}" if path else name)
    for inner in node.get("patternProperties", {}).values():
        found |= keys(schema, inner, f"{path}.NAME")
    if "items" in node:
        found |= keys(schema, node["items"], f"{path}[]")
    return found


def test_every_key_is_documented_and_nothing_else() -> None:
    schema = config.json_schema()
    variables = {"SLACK_API_URL", "PLATFORM_STATE", "PLATFORM_CONFIG", *config.OWN_SECRETS}
    found = documented()
    assert found - variables == keys(schema, schema)
    assert variables <= found
