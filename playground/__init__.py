"""A Slack that runs here: Web API, Socket Mode, signed HTTP, a browser page and a control API for tests.

It imports nothing of the bot. The bot reaches it exactly as it reaches Slack: through `slack_sdk`'s `base_url` and through
Socket Mode or a signed request URL. See docs/playground.md for what it imitates and what it does not.
"""
