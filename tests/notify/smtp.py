#!/usr/bin/env python3
"""A mail server for tests: takes mail on a spare port of this machine, standard library only.

Prints its port, then one JSON object a line for each mail that it took: from, to, subject, id, text.
With --refuse N it refuses the first N mails with 451, as a server that is busy does.
"""

import argparse
import asyncio
import email
import email.policy
import json

LONGEST = 1 << 20


class Server:
    def __init__(self, refuse):
        self.refuse = refuse

    async def session(self, reader, writer):
        async def say(line):
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        sender, receivers = None, []
        await say("220 test ESMTP")
        while True:
            line = (await reader.readline()).decode().rstrip("\r\n")
            word = line.upper()
            if not line or word == "QUIT":
                await say("221 bye")
                break
            if word.startswith(("EHLO", "HELO")):
                await say("250 test")
            elif word.startswith("MAIL FROM:"):
                sender, receivers = line[10:].split("<")[1].split(">")[0], []
                await say("250 ok")
            elif word.startswith("RCPT TO:"):
                receivers.append(line[8:].split("<")[1].split(">")[0])
                await say("250 ok")
            elif word == "DATA":
                await say("354 go on")
                body = await reader.readuntil(b"\r\n.\r\n")
                if self.refuse > 0:
                    self.refuse -= 1
                    await say("451 busy, come again")
                else:
                    self.took(sender, receivers, body[:-3].replace(b"\r\n..", b"\r\n."))
                    await say("250 taken")
            elif word in ("RSET", "NOOP"):
                await say("250 ok")
            else:
                await say("502 what?")
        writer.close()

    def took(self, sender, receivers, body):
        mail = email.message_from_bytes(body, policy=email.policy.default)
        told = {
            "from": sender,
            "to": receivers,
            "subject": mail["subject"],
            "id": mail["message-id"],
            "text": mail.get_content(),
        }
        print(json.dumps(told), flush=True)


async def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--refuse", type=int, default=0)
    server = Server(arguments.parse_args().refuse)
    listening = await asyncio.start_server(server.session, "127.0.0.1", 0, limit=LONGEST)
    print(listening.sockets[0].getsockname()[1], flush=True)
    async with listening:
        await listening.serve_forever()


asyncio.run(main())
