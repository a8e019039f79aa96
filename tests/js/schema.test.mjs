// The printed schema (MADANG_SDL, by default schema.graphql at the top) is what the tools of clients expect: graphql-js
// builds it, graphql-eslint finds it well named, described and fit for Relay, relay-compiler compiles pages of it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { parser, rules } from '@graphql-eslint/eslint-plugin';
import { ESLint } from 'eslint';
import { buildSchema, isInterfaceType, isObjectType, validateSchema } from 'graphql';
import relayCompiler from 'relay-compiler';

const path =
  process.env.MADANG_SDL ?? fileURLToPath(new URL('../../schema.graphql', import.meta.url));
const sdl = readFileSync(path, 'utf8');

test('graphql-js builds it', () => {
  assert.deepEqual(validateSchema(buildSchema(sdl)), []);
});

test('graphql-eslint has no word against it', async () => {
  const schema = buildSchema(sdl);
  const node = schema.getType('Node');
  assert.ok(isInterfaceType(node));
  // Only what has an identity of its own has an id.
  const without = Object.values(schema.getTypeMap())
    .filter((type) => isObjectType(type) && !type.getInterfaces().includes(node))
    .map((type) => type.name);
  const eslint = new ESLint({
    overrideConfigFile: true,
    overrideConfig: [
      {
        files: ['**/*.graphql'],
        languageOptions: { parser, parserOptions: { graphQLConfig: { schema: sdl } } },
        plugins: { '@graphql-eslint': { rules } },
        rules: {
          '@graphql-eslint/naming-convention': [
            'error',
            {
              types: 'PascalCase',
              FieldDefinition: 'camelCase',
              InputValueDefinition: 'camelCase',
              Argument: 'camelCase',
              DirectiveDefinition: 'camelCase',
              EnumValueDefinition: 'UPPER_CASE',
            },
          ],
          '@graphql-eslint/require-description': [
            'error',
            {
              types: true,
              rootField: true,
              FieldDefinition: true,
              InputValueDefinition: true,
              EnumValueDefinition: true,
              DirectiveDefinition: true,
              // async-graphql describes no arguments of directives.
              ignoredSelectors: ['DirectiveDefinition InputValueDefinition'],
            },
          ],
          '@graphql-eslint/relay-connection-types': 'error',
          '@graphql-eslint/relay-edge-types': [
            'error',
            // Edges implement nothing here, and lists without pages need no edges.
            { shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
          ],
          '@graphql-eslint/relay-page-info': 'error',
          '@graphql-eslint/relay-arguments': ['error', { includeBoth: true }],
          '@graphql-eslint/strict-id-in-types': ['error', { exceptions: { types: without } }],
          '@graphql-eslint/unique-enum-value-names': 'error',
          '@graphql-eslint/no-typename-prefix': 'error',
        },
      },
    ],
  });

  const [{ messages: said }] = await eslint.lintText(sdl, { filePath: 'schema.graphql' });
  // A chat session is a word of its own: the session of a chat is not called by the chat's name.
  const messages = said.filter(({ message }) => !message.startsWith('Field "chatSession" starts with'));

  assert.deepEqual(
    messages.map((m) => `${m.line}: ${m.message} (${m.ruleId})`),
    [],
  );
});

const PAGES = `
const { graphql } = require('react-relay');

graphql\`
  query SampleQuery($board: ID!) {
    board(id: $board) {
      ...Sample_board
    }
    viewer {
      id
      name
    }
  }
\`;

graphql\`
  fragment Sample_board on Board
  @refetchable(queryName: "SamplePageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 10 }, after: { type: "String" }) {
    name
    posts(first: $first, after: $after) @connection(key: "Sample_posts") {
      edges {
        node {
          id
          title
          ...Sample_post
        }
      }
    }
  }
\`;

graphql\`
  fragment Sample_post on Post @refetchable(queryName: "SamplePostQuery") {
    id
    title
    author {
      name
    }
  }
\`;

graphql\`
  subscription SampleSubscription($board: ID!) {
    postAdded(boardId: $board) {
      ...Sample_post
    }
  }
\`;

graphql\`
  mutation SampleMutation($input: CreatePostInput!, $connections: [ID!]!) {
    createPost(input: $input) {
      post @prependNode(connections: $connections, edgeTypeName: "PostEdge") {
        ...Sample_post
      }
    }
  }
\`;
`;

test('relay-compiler compiles pages, refetches and live updates', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'madang-relay-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, 'src', 'generated'), { recursive: true });
  await writeFile(join(folder, 'schema.graphql'), sdl);
  await writeFile(join(folder, 'src', 'Sample.js'), PAGES);
  await writeFile(
    join(folder, 'relay.config.json'),
    JSON.stringify({
      src: './src',
      schema: './schema.graphql',
      language: 'javascript',
      artifactDirectory: './src/generated',
      customScalarTypes: { DateTime: 'string' },
    }),
  );

  await promisify(execFile)(relayCompiler, ['relay.config.json'], { cwd: folder });

  const generated = await readdir(join(folder, 'src', 'generated'));
  for (const name of ['SampleQuery', 'SamplePageQuery', 'SamplePostQuery', 'SampleMutation']) {
    assert.ok(generated.includes(`${name}.graphql.js`), generated.join(' '));
  }
});
