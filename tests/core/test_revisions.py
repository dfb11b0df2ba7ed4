from alembic.config import Config
from alembic.script import ScriptDirectory

from app.core.database.schema import head_revision, migrations_directory


def test_the_newest_revision_is_the_one_that_alembic_finds() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory()))
    assert head_revision() == ScriptDirectory.from_config(config).get_current_head()
