"""Superset's settings, read in its own environment. It serves one person on this machine, and tells nobody anything."""

import os
from pathlib import Path

_HOME = Path(os.environ["SUPERSET_HOME"])

SECRET_KEY = (_HOME / "secret_key").read_text(encoding="utf-8").strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{_HOME / 'superset.db'}"
SESSION_COOKIE_NAME = "call_warehouse_dashboards"  # cookies know no ports: another Superset here keeps its own
SESSION_COOKIE_SAMESITE = "Strict"
AUTH_ROLE_PUBLIC = "Public"  # exists, and may do nothing
PUBLIC_ROLE_LIKE = None
AUTH_USER_REGISTRATION = False
LOG_LEVEL = "WARNING"
RATELIMIT_STORAGE_URI = "memory://"

# Superset's own policy lets pages tell a counting service, and load maps, letters and pictures from elsewhere. This one does not.
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'", "data:"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
}
