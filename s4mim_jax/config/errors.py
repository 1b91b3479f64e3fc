"""The one exception that means 'the user can mend this'."""


class InputError(ValueError):
    """A bad input: usage, config, data or file.

    The message has one to three lines and names the file or key, the offending value and what
    would be valid. Command lines print it without a traceback and end with status 2.
    """
