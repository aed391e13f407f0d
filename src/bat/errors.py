"""The one exception that a user is meant to read."""


class BatError(Exception):
    """A problem the user can mend: one line that says what, where, expected and found.

    The command line prints the message without a traceback and exits with status 1.
    """
