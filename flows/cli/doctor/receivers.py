"""Receivers: whether the addresses of KINTSUGI_NOTIFY can be read and, when asked, whether a message arrives."""

from collections.abc import Iterator

from flows.cli.doctor.finding import Finding

_TITLE, _TEXT = "Kintsugi: a message to try the way", "kintsugi doctor --tell sent it. Nothing has happened."


def findings(*, tell: bool) -> Iterator[Finding]:
    """Yield what is to be said of each receiver.

    Args:
        tell: Send each a message to try the way.
    """
    from components.events.messages import RECEIVERS, Message, Receiver, addresses

    for number, address in enumerate(addresses(), start=1):
        what = f"Receiver {number}"
        try:
            receiver = Receiver(number, address)
        except ValueError as error:
            yield Finding(what=what, state="problem", found="its address cannot be read", advice=str(error))
            continue
        if not tell:
            advice = "kintsugi doctor --tell sends a message to try it"
            yield Finding(what=what, state="ok", found=f"{receiver.name}, not tried", advice=advice)
        elif problem := receiver.take(Message(_TITLE, _TEXT, "info")):
            yield Finding(what=what, state="problem", found=f"{receiver.name}: {problem}", advice=f"mend {RECEIVERS}")
        else:
            yield Finding(what=what, state="ok", found=f"{receiver.name} took a message")
