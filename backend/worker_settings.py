"""Settings of many processes that are one service: what they share, and how long one may be silent."""

import re

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

REDIS_URL = re.compile(r"(rediss?|unix)://.")


class WorkerSettings(BaseSettings):
    """Many processes as one service: what they share, and how long one may be silent."""

    redis_url: SecretStr | None = None
    redis_prefix: str = Field("askgraph:", min_length=1, max_length=64, pattern=r"^[\w:.-]+$")
    web_concurrency: int = Field(1, ge=1, le=64)
    run_lease_seconds: float = Field(4.0, gt=0, le=3600)
    run_attempts: int = Field(2, ge=1, le=10)

    @field_validator("redis_url")
    @classmethod
    def _a_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not REDIS_URL.match(value.get_secret_value()):
            raise ValueError("must be redis://[user:password@]host[:port][/number], rediss://… or unix://path")
        return value
