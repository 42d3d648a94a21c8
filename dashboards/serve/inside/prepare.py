"""
Prepares Superset, in its own environment and one process: its database, its only account, our dashboards.

Reads from standard input, as JSON, `user`, `password`, `bundle` (a path) and `database_password` (or null).
"""

import json
import sys
import zipfile
from pathlib import Path

import superset
from flask import g
from flask_migrate import upgrade
from superset.app import create_app

told = json.load(sys.stdin)
app = create_app()
with app.app_context():
    upgrade(directory=str(Path(superset.__file__).parent / "migrations"))

# Once more, since what an application finds out of its database when it is made is not there before.
app = create_app()
with app.app_context():
    from superset import appbuilder, db, security_manager
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.commands.importers.v1.utils import get_contents_from_bundle

    if security_manager.find_role("Admin") is None or not security_manager.find_role("Admin").permissions:
        appbuilder.add_permissions(update_perms=True)
        security_manager.sync_role_definitions()
    if security_manager.find_user(told["user"]) is None:
        role = security_manager.find_role("Admin")
        security_manager.add_user(told["user"], "Call", "Warehouse", "admin@example.com", role, password=told["password"])
    else:
        security_manager.reset_password(security_manager.find_user(told["user"]).id, told["password"])
    db.session.commit()
    g.user = security_manager.find_user(told["user"])
    with zipfile.ZipFile(told["bundle"]) as archive:
        contents = get_contents_from_bundle(archive)
    passwords = {"databases/warehouse.yaml": told["database_password"]} if told["database_password"] else {}
    ImportAssetsCommand(contents, passwords=passwords).run()
