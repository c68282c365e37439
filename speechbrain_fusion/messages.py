"""Messages of other libraries, told in one line."""


def unwrapped(message: object) -> str:
    r"""Put a message into one line.

    Example
    -------
    >>> unwrapped("while parsing\n  line 3")
    'while parsing line 3'
    """
    return " ".join(f"{message}".split())


def in_a_line(error: Exception) -> str:
    r"""Tell an error with its type in one short line that a terminal can show.

    Example
    -------
    >>> in_a_line(KeyError("a\nb"))
    "KeyError: 'a\\nb'"
    >>> in_a_line(ValueError("a\n  b \x1b[2J"))
    'ValueError: a b ?[2J'
    """
    text = unwrapped(f"{type(error).__name__}: {error}")
    text = "".join(x if x.isprintable() else "?" for x in text)
    return text if len(text) <= 200 else f"{text[:197]}..."


def first_line(error: Exception) -> str:
    r"""Return the first line of a long message, which says what is wrong.

    Example
    -------
    >>> first_line(RuntimeError("no such device\nStack trace: ..."))
    'no such device'
    """
    return str(error).strip().partition("\n")[0]
