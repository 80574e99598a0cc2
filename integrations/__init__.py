"""One backend per file, behind the ports of `integrations.ports`."""
