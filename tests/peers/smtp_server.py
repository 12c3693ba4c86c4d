"""A real SMTP server for tests/it/smtp_peer.rs (needs aiosmtpd 1.4.6).

Listens on 127.0.0.1, prints its port as one line, and keeps each message as <n>.eml with <n>.json
beside it (envelope, TLS version, login). Ends when its standard input does.
"""

import argparse
import asyncio
import json
import logging
import pathlib
import ssl
import sys
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Keep:
    """Writes what arrives, or refuses it as told."""

    def __init__(self, folder, mode, times):
        self.folder, self.mode, self.times = pathlib.Path(folder), mode, times
        self.count = 0

    async def handle_DATA(self, server, session, envelope):
        if self.mode == "busy" and self.times > 0:
            self.times -= 1
            return "451 4.3.0 try again later"
        if self.mode == "hang":
            print("hangs", flush=True)
            await asyncio.Event().wait()
        if self.mode == "refuse":
            return "550 5.7.1 not wanted here"
        tls = server.transport.get_extra_info("ssl_object")
        name = self.folder / str(self.count)
        self.count += 1
        facts = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "tls": tls.version() if tls else None,
            "login": bool(session.authenticated),
        }
        name.with_suffix(".eml").write_bytes(envelope.original_content)
        name.with_suffix(".json").write_text(json.dumps(facts))
        return "250 2.0.0 kept"


def authenticator(login):
    user, _, password = login.partition(":")
    wanted = LoginPassword(user.encode(), password.encode())

    def check(_server, _session, _envelope, _mechanism, given):
        return AuthResult(success=given == wanted, handled=given == wanted)

    return check


async def serve(args):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(args.cert, args.key)
    keep = Keep(args.folder, args.mode, args.times)
    login = {}
    if args.login:
        # The library knows of STARTTLS only, not of TLS from the first byte.
        login = {
            "authenticator": authenticator(args.login),
            "auth_required": True,
            "auth_require_tls": args.tls == "starttls",
        }

    def connection():
        upgrade = context if args.tls == "starttls" else None
        return SMTP(keep, tls_context=upgrade, require_starttls=upgrade is not None, **login)

    implicit = context if args.tls == "implicit" else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(connection, "127.0.0.1", args.port, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def main():
    # Refused handshakes and refused logins are what the tests are about.
    logging.disable()
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", choices=["implicit", "starttls", "none"], required=True)
    parser.add_argument("--mode", choices=["ok", "busy", "refuse", "hang"], default="ok")
    parser.add_argument("--times", type=int, default=0, help="refusals before busy takes one")
    parser.add_argument("--login", default="", help="user:password that is asked for")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
