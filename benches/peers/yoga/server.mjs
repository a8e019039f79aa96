// Chat with graphql-yoga, graphql-ws and ws, as their documentation puts them together: server.mjs PORT DATABASE. One
// session, without sign-in; a chat is saved before it is published.
import { createServer } from 'node:http';
import Database from 'better-sqlite3';
import { useServer } from 'graphql-ws/use/ws';
import { createPubSub, createSchema, createYoga } from 'graphql-yoga';
import { WebSocketServer } from 'ws';

const [port, file] = process.argv.slice(2);
const database = new Database(file);
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec('CREATE TABLE IF NOT EXISTS chats (seq INTEGER PRIMARY KEY, content TEXT NOT NULL, at TEXT NOT NULL)');
const insert = database.prepare('INSERT INTO chats (content, at) VALUES (?, ?)');
const published = createPubSub();

const yoga = createYoga({
  graphiql: false,
  logging: false,
  schema: createSchema({
    typeDefs: `
      type User { name: String! }
      type Chat { id: ID! seq: Int! content: String! createdAt: String! author: User }
      type Query { ready: Boolean! }
      type Mutation { sendChat(content: String!): Chat! }
      type Subscription { chatEvents: Chat! }
    `,
    resolvers: {
      Query: { ready: () => true },
      Mutation: {
        sendChat(_, { content }) {
          const createdAt = new Date().toISOString();
          const seq = Number(insert.run(content, createdAt).lastInsertRowid);
          const id = `chat_${String(seq).padStart(26, '0')}`;
          const chat = { id, seq, content, createdAt, author: { name: 'user00' } };
          published.publish('chat', chat);
          return chat;
        },
      },
      Subscription: {
        chatEvents: { subscribe: () => published.subscribe('chat'), resolve: (chat) => chat },
      },
    },
  }),
});

const server = createServer(yoga);
const sockets = new WebSocketServer({ server, path: yoga.graphqlEndpoint });
useServer(
  {
    execute: (args) => args.rootValue.execute(args),
    subscribe: (args) => args.rootValue.subscribe(args),
    onSubscribe: async (context, _id, params) => {
      const enveloped = yoga.getEnveloped({
        ...context,
        req: context.extra.request,
        socket: context.extra.socket,
        params,
      });
      const { schema, execute, subscribe, contextFactory, parse, validate } = enveloped;
      const args = {
        schema,
        operationName: params.operationName,
        document: parse(params.query),
        variableValues: params.variables,
        contextValue: await contextFactory(),
        rootValue: { execute, subscribe },
      };
      const errors = validate(args.schema, args.document);
      return errors.length > 0 ? errors : args;
    },
  },
  sockets,
);
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
