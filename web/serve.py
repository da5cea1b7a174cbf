"""Serves the page that segments in the browser, on this machine only.

    python -m web.serve                  # http://localhost:8000

Any static web server will do for web/dist. This one also sends the two headers that
isolate the page, without which browsers give it one thread.
"""

import argparse
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cli.command import UserError, command_parser, run_command
from cli.ranges import Range, number

DIST = Path(__file__).resolve().parent / "dist"
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Handler(SimpleHTTPRequestHandler):
    """Sends files of one folder, with the isolation headers."""

    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".svg": "image/svg+xml",
    }

    def end_headers(self) -> None:
        for name, value in ISOLATION.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")  # a new build shows at once
        super().end_headers()

    def log_message(self, *args) -> None:
        """Says nothing: a line a request helps nobody."""


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """Opens a server; `serve_forever` runs it.

    Args:
        folder: what it serves.
        port: 0 takes any free port; `server_port` says which.

    Raises:
        UserError: the folder holds no page, or the port is taken.
    """
    if not (folder / "index.html").is_file():
        raise UserError(f"{folder} holds no page; python -m web.build makes it")
    try:
        return ThreadingHTTPServer(
            ("127.0.0.1", port), partial(Handler, directory=str(folder))
        )
    except OSError as error:
        raise UserError(
            f"port {port} cannot be used ({error.strerror}); choose another --port"
        ) from None


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--port", type=number(int, Range(at_least=0, at_most=65535)), default=8000
    )
    parser.add_argument("--folder", type=Path, default=DIST)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> None:
    with make_server(args.folder, args.port) as server:
        print(f"http://localhost:{server.server_port}   (Ctrl-C ends it)", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    run_command(lambda: main(parse_args()))
