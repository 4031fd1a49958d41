"""notify: tells the payee of a payment, by mail. It exports bank:payments/notify (bank.wit), like notify.c.

The variable MAIL says where the mail server is (localhost:2525). Mail goes to NAME@bank.example, a domain that no one
has. That it could not be sent is an error with the reason; the payment stands.
"""

from __future__ import annotations

import email.policy  # noqa: F401  (the component holds only what the build sees imported; messages need it)
import encodings.idna  # noqa: F401  (and so does resolving a name)
import os
import smtplib
from email.message import EmailMessage

from componentize_py_types import Err
from wit_world.imports.types import Receipt

DOMAIN = "bank.example"
SECONDS = 10


def message(receipt: Receipt) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"payments@{DOMAIN}"
    mail["To"] = f"{receipt.payee}@{DOMAIN}"
    mail["Subject"] = f"Payment {receipt.number}"
    mail.set_content(f"{receipt.payer} paid you {receipt.cents // 100}.{receipt.cents % 100:02}.\n")
    return mail


class Notify:
    """The exported interface; the name is componentize-py's convention."""

    def notify(self, receipt: Receipt) -> None:
        host, _, port = os.environ.get("MAIL", "localhost:2525").rpartition(":")
        try:
            with smtplib.SMTP(host, int(port), local_hostname=DOMAIN, timeout=SECONDS) as server:
                server.send_message(message(receipt))
        except (OSError, ValueError) as error:  # smtplib's own are OSErrors; ValueError: a port or name that is none
            raise Err(str(error)) from None
