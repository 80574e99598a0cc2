"""The settings of `local_processes`. Pure."""

from __future__ import annotations

import sys

from pydantic import BaseModel, ConfigDict, Field, model_validator

from integrations._runtime_controller import Pace


class Settings(BaseModel):
    """The section of platform.yml. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(default="runtime", description="Below the state folder.")
    port_range: tuple[int, int] = Field(default=(18080, 18999), description="Stable ports, first and last.")
    python: str = Field(default_factory=lambda: sys.executable, description="What {python} stands for.")
    poll_interval_seconds: float = Field(default=0.25, gt=0)
    follow_interval_seconds: float = Field(default=2.0, gt=0, description="How often a branch is looked at.")
    health_timeout_seconds: float = Field(default=30.0, gt=0, description="To become healthy.")
    health_deadline_seconds: float = Field(default=1.0, gt=0, description="For one answer.")
    stop_grace_seconds: float = Field(default=5.0, ge=0, description="Between SIGTERM and SIGKILL.")
    restart_backoff_seconds: float = Field(default=1.0, gt=0)
    stable_after_seconds: float = Field(default=30.0, ge=0, description="Then earlier crashes are forgotten.")
    kept_releases: int = Field(default=5, ge=1)
    clone_token: str = Field(
        default="",
        description="Variable that holds a token which may read the repositories, where they are private.",
    )
    git_deadline_seconds: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _ports_in_order(self) -> Settings:
        first, last = self.port_range
        if not 1024 <= first <= last <= 65535:
            raise ValueError("port_range: first and last port, from 1024 to 65535")
        return self

    @property
    def pace(self) -> Pace:
        return Pace(
            poll_interval_seconds=self.poll_interval_seconds,
            follow_interval_seconds=self.follow_interval_seconds,
            health_timeout_seconds=self.health_timeout_seconds,
            stop_grace_seconds=self.stop_grace_seconds,
            restart_backoff_seconds=self.restart_backoff_seconds,
            stable_after_seconds=self.stable_after_seconds,
            kept_releases=self.kept_releases,
        )
