import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_salt_of_the_user():
    """Give the tests, and the processes that they start, a salt of their own: the user's is neither read nor made."""
    before = os.environ.get("LAMAE_SALT")
    os.environ["LAMAE_SALT"] = "of the tests"
    yield
    if before is None:
        del os.environ["LAMAE_SALT"]
    else:
        os.environ["LAMAE_SALT"] = before
