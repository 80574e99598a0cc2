"""The schema's history, applied by `bot.migrating`. Revisions never import the code they once served."""
