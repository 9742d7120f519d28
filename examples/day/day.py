"""The other side of the conversation: a platform that sends signed messages and takes signed answers.

    day.py inbox FILE            listens on a free port, prints it, and appends each genuine answer to FILE
    day.py send URL MESSAGE      signs MESSAGE (JSON) and posts it
    day.py wait FILE N           waits for N answers and prints them
"""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

SECRET = os.environ["DAY_SIGNING_SECRET"].encode()


def signature(name: str, moment: str, body: bytes) -> str:
    """Standard Webhooks: HMAC-SHA256 over id, time and body."""
    tag = hmac.new(SECRET, f"{name}.{moment}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(tag).decode()


def inbox(file: str) -> None:
    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            expected = signature(self.headers["webhook-id"], self.headers["webhook-timestamp"], body)
            genuine = hmac.compare_digest(expected, self.headers["webhook-signature"])
            if genuine:
                with open(file, "a", encoding="utf-8") as answers:
                    answers.write(json.dumps(json.loads(body)) + "\n")
            self.send_response(204 if genuine else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    print(server.server_port, flush=True)
    server.serve_forever()


def send(url: str, text: str) -> None:
    body = text.encode()
    name, moment = "msg-" + hashlib.sha256(body).hexdigest()[:12], str(int(time.time()))
    headers = {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": moment,
        "webhook-signature": signature(name, moment, body),
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            print(name, answer.status, answer.read().decode())
    except urllib.error.HTTPError as refused:
        sys.exit(f"{refused.code}: {refused.read().decode()}")


def wait(file: str, count: int) -> None:
    for _ in range(600):
        path = pathlib.Path(file)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if len(lines) >= count:
            for line in lines:
                answer = json.loads(line)
                print(f"  [{answer['chat']} / {answer.get('thread')}] {answer['text']}")
            return
        time.sleep(0.1)
    sys.exit(f"only {len(lines)} of {count} answers came within a minute")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["inbox", file]:
            inbox(file)
        case ["send", url, text]:
            send(url, text)
        case ["wait", file, count]:
            wait(file, int(count))
        case _:
            sys.exit(__doc__)
