// The list of posts as one builds it in Node when it shall be fast: Fastify and mercurius with its JIT, authors by a loader,
// statements prepared once on better-sqlite3, two processes. Nobody is asked who they are.
//
//   node server.mjs PORT DATABASE
import cluster from 'node:cluster';
import Database from 'better-sqlite3';
import Fastify from 'fastify';
import mercurius from 'mercurius';

const PROCESSES = 2;
const [port, file] = [Number(process.argv[2]), process.argv[3]];

const schema = `
  type Query { posts(first: Int = 20, after: String): PostConnection! }
  type PostConnection { nodes: [Post!]! pageInfo: PageInfo! }
  type PageInfo { hasNextPage: Boolean! endCursor: String }
  type Post { id: ID! title: String! author: User commentCount: Int! }
  type User { id: ID! name: String! }
`;

function serve() {
  const db = new Database(file, { readonly: true });
  db.pragma('mmap_size = 268435456');
  db.pragma('cache_size = -16384');
  const columns = 'id, title, author_id AS authorId, comment_count AS commentCount';
  const newest = db.prepare(`SELECT ${columns} FROM posts ORDER BY id DESC LIMIT ?`);
  const behind = db.prepare(`SELECT ${columns} FROM posts WHERE id < ? ORDER BY id DESC LIMIT ?`);
  const users = db.prepare('SELECT id, name FROM users WHERE id IN (SELECT value FROM json_each(?))');

  const resolvers = {
    Query: {
      posts(_, { first, after }) {
        const count = Math.min(Math.max(first, 1), 100);
        const place = after && Number(Buffer.from(after, 'base64url').toString());
        const nodes = after ? behind.all(place, count + 1) : newest.all(count + 1);
        const hasNextPage = nodes.length > count;
        if (hasNextPage) nodes.pop();
        const last = nodes.at(-1);
        const endCursor = last ? Buffer.from(String(last.id)).toString('base64url') : null;
        return { nodes, pageInfo: { hasNextPage, endCursor } };
      },
    },
  };
  const loaders = {
    Post: {
      async author(posts) {
        const ids = JSON.stringify(posts.map(({ obj }) => obj.authorId));
        const found = new Map(users.all(ids).map((user) => [user.id, user]));
        return posts.map(({ obj }) => found.get(obj.authorId) ?? null);
      },
    },
  };

  const app = Fastify({ logger: false });
  app.register(mercurius, { schema, resolvers, loaders, jit: 1, graphiql: false });
  app.get('/health', async () => 'ok');
  app.listen({ port, host: '127.0.0.1' });
}

if (cluster.isPrimary) for (let n = 0; n < PROCESSES; n++) cluster.fork();
else serve();
