"""How Slack's mark-up reads on the page, as a table: source on the left, the nodes it becomes on the right."""

from __future__ import annotations

import re

import pytest

from tests.playground.conftest import Installed

from .conftest import OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

DAY = re.compile("Friday,? 2 January 2026, 15:00:00")
LINK = 'target="_blank" rel="noopener noreferrer"'
MRKDWN = {
    "*bold* _italic_ ~gone~ `code`": "<p><strong>bold</strong> <em>italic</em> <s>gone</s> <code>code</code></p>",
    "*bold with _both_*": "<p><strong>bold with <em>both</em></strong></p>",
    "snake_case_name and 2*3*4": "<p>snake_case_name and 2*3*4</p>",
    "* not bold* and *": "<p>* not bold* and *</p>",
    "`*as it is* <@UALICE0001>`": "<p><code>*as it is* &lt;@UALICE0001&gt;</code></p>",
    "a &amp; b &lt;c&gt;": "<p>a &amp; b &lt;c&gt;</p>",
    "one\ntwo": "<p>one<br>two</p>",
    "before\n&gt; quoted\n&gt; more\nafter": "<p>before</p><blockquote>quoted<br>more</blockquote><p>after</p>",
    "see\n```\n*raw*\n  kept\n```\nend": "<p>see</p><pre>*raw*\n  kept</pre><p>end</p>",
    "<https://example.com/a?b=1&amp;c=2|the *page*>": f'<p><a href="https://example.com/a?b=1&amp;c=2" {LINK}>the *page*</a></p>',
    "at https://example.com/a_b_c.": f'<p>at <a href="https://example.com/a_b_c" {LINK}>https://example.com/a_b_c</a>.</p>',
    "<mailto:a@example.com|a@example.com>": f'<p><a href="mailto:a@example.com" {LINK}>a@example.com</a></p>',
    "<javascript:alert(1)|x>": "<p>&lt;javascript:alert(1)|x&gt;</p>",
    "<data:text/html,x|x>": "<p>&lt;data:text/html,x|x&gt;</p>",
    "<!here> <!unknown>": '<p><span class="mention mention-self">@here</span> &lt;!unknown&gt;</p>',
    "<!date^1767366000^{date_num}^https://example.com|then>": f'<p><a href="https://example.com/" {LINK}><time title="DAY">02/01/2026</time></a></p>',
    "<!date^1767366000^{century}|then>": '<p><time title="DAY">then</time></p>',
    "<!date^soon^{date}|then>": "<p><time>then</time></p>",
    ":snake: :no_such_emoji: 10:30:45": '<p><span class="status-line"><span class="emoji" title=":snake:">🐍</span> :no_such_emoji: 10:30:45</span></p>',
    "_:+1: well_": '<p><em><span class="emoji" title=":+1:">👍</span> well</em></p>',
}
MARKDOWN = {
    "# Title\n\ntext **bold** *it* ~~gone~~ `c`": '<h3 class="md-h1">Title</h3><p>text <strong>bold</strong> <em>it</em> <s>gone</s> <code>c</code></p>',
    "- a\n  1. b\n- c": '<ul><li>a<ol start="1"><li>b</li></ol></li><li>c</li></ul>',
    "> q\n> r\n\n---": "<blockquote><p>q<br>r</p></blockquote><hr>",
    "```py\n<b>\n```": "<pre>&lt;b&gt;</pre>",
    "[ok](https://example.com) [no](javascript:alert)": f'<p><a href="https://example.com/" {LINK}>ok</a> <span>no</span></p>',
    "snake_case_name": "<p>snake_case_name</p>",
    "<b>html</b>": "<p>&lt;b&gt;html&lt;/b&gt;</p>",
}
RENDER = """async ([source, kind]) => {
  const { Directory } = await import("/static/js/directory.js");
  const { renderMrkdwn } = await import("/static/js/mrkdwn.js");
  const { renderMarkdown } = await import("/static/js/markdown.js");
  const directory = new Directory({ people: [], groups: [], app: {} });
  const holder = document.createElement("div");
  holder.append(kind === "mrkdwn" ? renderMrkdwn(source, directory) : renderMarkdown(source));
  return holder.innerHTML;
}"""
USAGE = {
    "a | b": ["a", "b"],
    "[create-service NAME | status [SERVICE] | …]": ["create-service", "status"],
    "": [],
    "<what>": [],
}
PARSE = """async (hint) => {
  const { parseUsageHint } = await import("/static/js/completion.js");
  return parseUsageHint(hint).map(({ verb }) => verb);
}"""


async def test_mark_up_becomes_these_nodes_and_no_others(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground, timezone_id="UTC")
    for kind, cases in (("mrkdwn", MRKDWN), ("markdown", MARKDOWN)):
        shown = {source: await page.evaluate(RENDER, [source, kind]) for source in cases}
        # Whether a comma follows the weekday is the browser's own choice.
        assert {source: DAY.sub("DAY", html) for source, html in shown.items()} == cases


async def test_verbs_are_read_from_a_usage_hint(installed: Installed, open_page: OpenPage) -> None:
    page = await open_page(installed.playground)
    assert {hint: await page.evaluate(PARSE, hint) for hint in USAGE} == USAGE
