"""The actions of operators on the catalog. Each writes the audit log; `by` is who acts."""

from collections.abc import Callable, Sequence

from app.audit.operations import record_audit
from app.catalog import operations
from app.catalog.decide import ModelChanges
from app.catalog.imports import ModelLine
from app.catalog.operations import Imported
from app.catalog.queries import Model
from app.core.credits import show_credits
from app.core.database.session import Session


async def set_model(session: Session, *, by: str, slug: str, changes: ModelChanges) -> Model:
    """Add a model to the catalog, or change it. Raises SlugInvalid."""
    model = await operations.set_model(session, slug=slug, changes=changes)
    asked: dict[str, object] = {}
    for name, value in changes.items():
        amount = isinstance(value, int) and name.endswith("_micro")
        asked[name.removesuffix("_micro")] = show_credits(value) if amount and isinstance(value, int) else value
    await record_audit(session, by=by, action="model.set", target=slug, detail=asked)
    return model


async def import_models(
    session: Session,
    *,
    by: str,
    file: str,
    lines: Sequence[ModelLine],
    overwrite: bool,
    on_progress: Callable[[int], None],
) -> Imported:
    """Import the models of a file into the catalog. With `overwrite`, also replace what an operator has set."""
    imported = await operations.import_models(session, lines=lines, overwrite=overwrite, on_progress=on_progress)
    detail = {"overwrite": overwrite, "new": imported.new, "known": imported.known, "kept": imported.kept}
    await record_audit(session, by=by, action="model.import", target=file, detail=detail)
    return imported
