"""A stand-in for what the client packages talk to: the bakery and an S3 store, on 127.0.0.1.

Every run of a client has a name of its own, which is the first part of the path of all its requests (the bucket's name
in S3's case); what it sends is kept under that name.
"""

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class StandIn:
    """The server. `bakes[run]` are the bodies of the requests to bake, `blobs[run]` the objects stored, by key."""

    def __init__(self):
        self.bakes = defaultdict(list)
        self.blobs = defaultdict(dict)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = "http://127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()

    def image(self, run, body):
        """The image that stands for a request: equal requests of one run have one."""
        with self._lock:
            known = self.bakes[run]
            if body not in known:
                known.append(body)
            return "baked.invalid/%d" % known.index(body)

    def _handler(self):
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, body=b"", kind="application/json", headers=()):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def body(self):
                if self.headers.get("Expect") == "100-continue":
                    self.send_response_only(100)
                    self.end_headers()
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def serve(self):
                body = self.body()
                path = urlsplit(self.path).path.strip("/")
                service, _, rest = path.partition("/")
                if service == "bake":
                    image = standin.image(rest, json.loads(body))
                    reply = {"success": {"containerImage": image, "pythonPath": "/env/bin/python"}}
                    self.answer(200, json.dumps(reply).encode())
                else:
                    self.s3(service, rest, body)

            def s3(self, bucket, key, body):
                objects = standin.blobs[bucket]
                if self.command == "PUT":
                    objects[key] = body
                    self.answer(200, headers=[("ETag", '"0"')])
                elif key in objects:
                    self.answer(200, objects[key], "application/octet-stream", [("ETag", '"0"')])
                elif not key and self.command == "GET":
                    self.answer(200, b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>", "application/xml")
                else:
                    self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve

        return Handler
