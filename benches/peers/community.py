"""The rows of madang's database that everybody who is signed in may read, for the peers: what they never hold, they need no
rule to hide, and their lists cost less for it."""

import datetime
import sqlite3

READABLE = "p.is_visible AND b.is_visible AND b.is_available"


class Community:
    """Rows under small numbers from 1, in the order of their ids, which is that of their making."""

    def __init__(self, path):
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def _number(self, query):
        return {key: n for n, (key,) in enumerate(self.db.execute(query), 1)}

    def users(self):
        """number, name, email, joined"""
        self.user_numbers = self._number("SELECT id FROM users ORDER BY id")
        for key, *row in self.db.execute("SELECT id, name, email, joined_at FROM users ORDER BY id"):
            yield self.user_numbers[key], *row

    def boards(self):
        """number, name, information, created"""
        self.board_numbers = self._number("SELECT id FROM boards ORDER BY id")
        for key, *row in self.db.execute("SELECT id, name, information, created_at FROM boards ORDER BY id"):
            yield self.board_numbers[key], *row

    def posts(self):
        """number, board, author or None, title, content, visible comments, created"""
        query = f"SELECT p.id FROM posts p JOIN boards b ON b.id = p.board_id WHERE {READABLE} ORDER BY p.id"
        self.post_numbers = self._number(query)
        query = "SELECT id, board_id, author_id, title, content, comment_count, created_at FROM posts ORDER BY id"
        for key, board, author, *row in self.db.execute(query):
            if key in self.post_numbers:
                yield self.post_numbers[key], self.board_numbers[board], self.user_numbers.get(author), *row

    def comments(self):
        """number, post, author or None, content, created"""
        query = "SELECT post_id, author_id, content, created_at FROM comments WHERE is_visible ORDER BY id"
        readable = (row for row in self.db.execute(query) if row[0] in self.post_numbers)
        for n, (post, author, *row) in enumerate(readable, 1):
            yield n, self.post_numbers[post], self.user_numbers.get(author), *row


def time_of(micros):
    """Microseconds since 1970 as PocketBase writes times: in UTC, to the millisecond."""
    at = datetime.datetime.fromtimestamp(micros / 1e6, datetime.timezone.utc)
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{micros // 1000 % 1000:03d}Z"
