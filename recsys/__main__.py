"""The start of `recsys`, which is also that of `python -m recsys`."""

import signal


def main() -> None:
    """Import the command line, which takes a third of a second, and run it. A Ctrl-C or SIGTERM that comes meanwhile is answered then."""
    came: list[int] = []
    both = (number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN)
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in both}
    from recsys.threads import set_defaults

    set_defaults()  # before a library is loaded that computes
    from recsys.cli import main as command_line

    for number, handler in before.items():
        signal.signal(number, handler)
    command_line(interrupted=bool(came))


if __name__ == "__main__":
    main()
