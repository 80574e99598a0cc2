"""What comes out of a golden path: valid files whatever people typed, and refusals where they typed nonsense."""

from __future__ import annotations

import ast
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

Render = Callable[..., Path]
PLATFORM_ANSWERS = ("service_name", "team", "owner", "description", "database", "port", "repository_url")
HOSTILE = "a \"b\" 'c' \\ : # {{ 7*7 }} {% raw %} ${HOME} `x`\n- d\t\r\n\u2028 é 😀 \U000e0067 <!-- & --> %s ''' \"\"\" */"


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    return ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


def documents(folder: Path) -> dict[str, Any]:
    """Relative path -> parsed content, for every YAML and JSON file."""
    found: dict[str, Any] = {}
    for name, path in files(folder):
        if name.endswith((".yaml", ".yml")):
            found[name] = yaml.safe_load(path.read_text(encoding="utf-8"))
        elif name.endswith(".json"):
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found


def descriptions(folder: Path) -> dict[str, str]:
    """Every place that holds the description, as the program that reads the file would understand it."""
    parsed = documents(folder)
    found = {
        "answers": parsed[".copier-answers.yml"]["description"],
        "catalog": parsed["catalog-info.yaml"]["metadata"]["description"],
        "deployment": parsed["k8s/base/deployment.yaml"]["metadata"]["annotations"][
            "platform.company.com/description"
        ],
    }
    if "package.json" in parsed:
        found["package.json"] = parsed["package.json"]["description"]
    for name, start, read in (
        ("service/about.py", "DESCRIPTION = ", ast.literal_eval),
        # JSON strings are JavaScript strings; Go's are the same apart from surrogates, looked at elsewhere.
        ("src/about.js", "export const DESCRIPTION = ", lambda text: json.loads(text.rstrip(";"))),
        ("about.go", "\tserviceDescription = ", json.loads),
    ):
        if (folder / name).exists():
            lines = (folder / name).read_text(encoding="utf-8").split("\n")
            (line,) = [each for each in lines if each.startswith(start)]
            found[name] = read(line.removeprefix(start))
    return found


def test_every_file_is_rendered_and_every_document_can_be_read(render: Render, database: str) -> None:
    folder = render(database=database)
    parsed = documents(folder)
    assert {"catalog-info.yaml", ".github/workflows/ci.yml", ".copier-answers.yml"} <= parsed.keys()
    for name, path in files(folder):
        text = path.read_text(encoding="utf-8")
        assert not name.endswith(".jinja"), name
        # Jinja as it is written here; `{{service=` in a string of code and GitHub's `${{ x }}` are not ours.
        assert not re.search(r"(?<!\$)\{\{ |\{%-? ", text), name
        assert re.search(r"[^\n]\n\Z", text), name
        assert not any(line != line.rstrip() for line in text.split("\n")), name


def test_rendering_twice_gives_the_same_bytes(golden_path: Any, tmp_path: Path) -> None:
    folders = [golden_path.render(tmp_path / name) for name in ("first", "second")]
    first, second = ({name: path.read_bytes() for name, path in files(folder)} for folder in folders)
    assert first == second


def test_golden_path_describes_itself(golden_path: Any) -> None:
    about = golden_path.about
    assert set(about) == {
        "title", "description", "language", "summary", "databases", "health_path", "needs", "run", "test",
    }  # fmt: skip
    assert about["databases"] == ["postgresql", "redis", "none"]
    assert set(about["needs"]) <= {"node", "go"}
    for key in ("run", "test"):
        assert all(isinstance(word, str) for word in about[key])


def test_created_service_says_how_it_runs_as_its_golden_path_does(golden_path: Any, render: Render) -> None:
    said = documents(render())[".platform/service.json"]
    assert said == {key: golden_path.about[key] for key in ("run", "health_path")}


def test_nothing_in_a_golden_path_needs_trust(golden_path: Any) -> None:
    """Tasks, migrations and extensions would be refused when it is rendered."""
    questions = yaml.safe_load((golden_path.folder / "copier.yml").read_text())
    assert {key for key in questions if key.startswith("_")} == {"_min_copier_version", "_subdirectory"}


def test_every_question_is_explained_limited_and_has_a_default(golden_path: Any) -> None:
    questions = yaml.safe_load((golden_path.folder / "copier.yml").read_text())
    asked = {k: q for k, q in questions.items() if not k.startswith("_") and q.get("when") is not False}
    assert tuple(asked)[: len(PLATFORM_ANSWERS)] == PLATFORM_ANSWERS
    for name, question in asked.items():
        assert question["type"], name
        assert question["help"], name
        assert "validator" in question or "choices" in question, name
        assert "default" in question or name in ("service_name", "team"), name


def test_golden_paths_ask_for_the_platform_and_deploy_in_the_same_words(every_golden_path: list[Any]) -> None:
    first, *others = every_golden_path
    ours = yaml.safe_load((first.folder / "copier.yml").read_text())
    for other in others:
        theirs = yaml.safe_load((other.folder / "copier.yml").read_text())
        for question in (*PLATFORM_ANSWERS, "repository_slug", "description_literal", "image_repository"):
            assert theirs[question] == ours[question], (other.name, question)
        k8s = [{n: p.read_text() for n, p in files(each.folder / "template/k8s")} for each in (first, other)]
        assert k8s[0] == k8s[1], other.name


TEXT = st.text(
    st.one_of(
        st.sampled_from("\"'\\:#{}%\n\t\r-&*!|>@`$ \u2028\u2029\ufeff\u00a0é😀<"),
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    ),
    max_size=60,
)


def assert_arrives(golden_path: Any, description: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        golden_path.render(Path(folder), description=description)
        for place, found in descriptions(Path(folder)).items():
            assert found == description, (golden_path.name, place)
        for _, path in files(Path(folder)):
            # Go refuses an escaped half of a surrogate pair, YAML reads two broken characters.
            assert "\\ud8" not in path.read_text(encoding="utf-8")


@pytest.mark.timeout(300)  # A rendering takes half a second, several on a busy machine.
@settings(max_examples=24, deadline=None)
@given(description=TEXT, chosen=st.integers(min_value=0, max_value=2))
def test_any_description_arrives_in_every_file_as_it_was_typed(
    every_golden_path: list[Any], description: str, chosen: int
) -> None:
    assert_arrives(every_golden_path[chosen], description)


@pytest.mark.parametrize(
    "description", [HOSTILE, "", "null", "{{ service_name }}{{ ''.__class__ }}", "- a: b"]
)
def test_hostile_description_arrives_in_every_file_as_it_was_typed(
    golden_path: Any, description: str
) -> None:
    assert_arrives(golden_path, description)


@pytest.mark.parametrize("name", ["yes", "null", "true", "off", "e10", "abc", "a-1", "a" * 40])
def test_a_name_stays_a_name_where_yaml_would_read_something_else(render: Render, name: str) -> None:
    parsed = documents(render(service_name=name, team="123"))
    for file, document in parsed.items():
        if file.startswith("k8s/base/") and document["kind"] != "Kustomization":
            assert document["metadata"]["labels"]["app.kubernetes.io/name"] == name
            assert document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "123"
            assert isinstance(document["metadata"]["name"], str)
    assert parsed["catalog-info.yaml"]["metadata"]["name"] == name


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("service_name", "Orders"),
        ("service_name", "or"),
        ("service_name", "orders\n"),
        ("service_name", "orders-"),
        ("service_name", "../orders"),
        ("service_name", "a" * 41),
        ("team", "Shop Team"),
        ("team", ""),
        ("owner", 'group:default/x"\nspec: {}'),
        ("description", "\x00"),
        ("description", "\x7f"),
        ("description", "\ud800"),
        ("description", "x" * 1001),
        ("database", "oracle"),
        ("port", 80),
        ("port", 65536),
        ("repository_url", "https://bot:hunter2@example.com/orders.git"),
        ("repository_url", "https://example.com/a b"),
        ("lifecycle", "forever"),
        ("image_repository", "ghcr.io/Acme/orders:latest"),
    ],
)
def test_a_refused_answer_creates_nothing(
    golden_path: Any, tmp_path: Path, question: str, answer: object
) -> None:
    with pytest.raises(ValueError, match=question):
        golden_path.render(tmp_path / "service", **{question: answer})
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize(
    ("url", "slug", "image"),
    [
        ("https://github.com/Acme/orders", "Acme/orders", "ghcr.io/acme/orders"),
        ("https://github.com/Acme/orders.git", "Acme/orders", "ghcr.io/acme/orders"),
        ("git@github.com:Acme/orders.git", "Acme/orders", "ghcr.io/acme/orders"),
        ("https://notgithub.com.example/Acme/orders", None, "registry.example.com/shop/orders"),
        ("/srv/git/orders.git", None, "registry.example.com/shop/orders"),
        ("", None, "registry.example.com/shop/orders"),
    ],
)
def test_the_address_of_the_repository_decides_where_it_is_found(
    render: Render, url: str, slug: str | None, image: str
) -> None:
    parsed = documents(render(repository_url=url))
    entity = parsed["catalog-info.yaml"]["metadata"]
    assert entity["annotations"].get("github.com/project-slug") == slug
    assert [link["url"] for link in entity.get("links", [])] == ([url] if url.startswith("https:") else [])
    assert parsed["k8s/base/kustomization.yaml"]["images"][0]["newName"] == image


def test_the_catalog_entry_carries_the_request_that_made_it(render: Render) -> None:
    def annotations(**answers: str) -> dict[str, str]:
        found: dict[str, str] = documents(render(**answers))["catalog-info.yaml"]["metadata"]["annotations"]
        return found

    assert annotations(request_id="r-7k2m9xq")["platform-bot/request-id"] == "r-7k2m9xq"
    assert "platform-bot/request-id" not in annotations()
    with pytest.raises(ValueError, match="number of a request"):
        render(request_id="r-1\n  owner: me")


def test_catalog_entry_names_owner_and_lifecycle(golden_path: Any, render: Render) -> None:
    entity = documents(render(lifecycle="production"))["catalog-info.yaml"]
    assert (entity["apiVersion"], entity["kind"]) == ("backstage.io/v1alpha1", "Component")
    assert entity["spec"] == {"type": "service", "lifecycle": "production", "owner": "group:default/shop"}
    assert entity["metadata"]["annotations"]["platform.company.com/golden-path"] == golden_path.name
    assert entity["metadata"]["annotations"]["platform.company.com/team"] == "shop"


def test_continuous_integration_asks_for_the_least(render: Render) -> None:
    workflow = documents(render())[".github/workflows/ci.yml"]
    assert workflow["permissions"] == {}
    jobs = workflow["jobs"]
    assert jobs["test"]["permissions"] == {"contents": "read"}
    assert jobs["image"]["permissions"] == {"contents": "write", "packages": "write"}
    assert jobs["image"]["if"] == "github.event_name == 'push'"
    for name, job in jobs.items():
        assert job["timeout-minutes"] <= 20, name
        for step in job["steps"]:
            # An expression inside a script would let a branch name become a command.
            assert "${{" not in step.get("run", ""), name


def test_container_image_does_not_run_as_root(render: Render) -> None:
    lines = (render(port=9000) / "Dockerfile").read_text().splitlines()
    assert "USER 10001:10001" in lines
    assert "EXPOSE 9000" in lines
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert images
    assert not any(image.endswith(":latest") for image in images)


def test_documented_example_renders(tmp_path: Path, golden_path_at: Callable[[Path], Any]) -> None:
    page = Path(__file__).parents[2] / "docs" / "golden-paths.md"
    parts = page.read_text(encoding="utf-8").split("`golden_paths/hello/")[1:]
    assert len(parts) == 4
    for part in parts:
        name, rest = part.split("`", 1)
        body = rest.split("```", 2)[1].split("\n", 1)[1]
        target = tmp_path / "hello" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(body, encoding="utf-8")
    run_file = json.loads((tmp_path / "hello/template/.platform/service.json").read_text())
    from_page = golden_path_at(tmp_path / "hello")
    assert run_file == {key: from_page.about[key] for key in ("run", "health_path")}
    created = from_page.render(tmp_path / "created")
    assert 'write(b"orders\\n")' in (created / "main.py").read_text()
    ast.parse((created / "main.py").read_text())
    with pytest.raises(ValueError, match="DNS label"):
        from_page.render(tmp_path / "refused", service_name="Orders")
