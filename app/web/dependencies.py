"""FastAPI dependencies that give routes the objects of their API process."""

from typing import Annotated

from fastapi import Depends, Request

from app.core.database.db import Database
from app.core.redis.doorbell import Doorbell


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _doorbell(request: Request) -> Doorbell:
    doorbell: Doorbell = request.app.state.doorbell
    return doorbell


TheDatabase = Annotated[Database, Depends(_database)]
TheDoorbell = Annotated[Doorbell, Depends(_doorbell)]
