"""A job's charge that is given back in part, once; the tenant of `waystation up`; incidents in the audit log."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.admin.demo import ensure_demo_tenant
from app.core.credits import show_credits
from app.core.db import Database
from app.core.ids import new_id, show_id
from app.jobs.models import State
from app.jobs.records import PollRecord, record_polls
from app.tenants.keys import parse_key
from tests.admin.conftest import ADMIN_KEY, app_with
from tests.admin.test_operators import entries
from tests.admin.test_routes import assert_problem
from tests.conftest import NewDatabase
from tests.factories.callers import SECRET, Caller, make_caller
from tests.factories.jobs import MODEL, Engine
from tests.test_cli import run

__all__ = ["MODEL", "PollRecord", "State", "record_polls"]
