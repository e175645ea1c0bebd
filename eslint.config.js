import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/**
 * The layers of src/, lowest first. A file imports from its own layer's folder and from the layers below;
 * what shares a line does not know of each other.
 */
const layers = [
  ['json', 'config', 'observe', 'multipart'],
  ['revtree'],
  ['store'],
  ['selector', 'rejections'],
  ['changes'],
  ['replication'],
  ['auth', 'pouchdb', 'design'],
  ['views', 'conflicts'],
  ['find', 'replicator', 'upstream'],
  ['http', 'takeover'],
  ['gateway', 'commands'],
  ['main', 'library'],
];

/** Where files of a layer are, and what leads from there to `src/`: a folder within a layer may have another one's name. */
const depths = [
  ['.ts', '\\./'],
  ['/*.ts', '\\.\\./'],
  ['/*/*.ts', '(\\.\\./){2}'],
  ['/*/*/*.ts', '(\\.\\./){3}'],
  ['/*/*/*/*.ts', '(\\.\\./){4}'],
];

const layerRules = layers.flatMap((names, level) =>
  names.flatMap((name) => {
    const beside = names.filter((other) => other !== name);
    const forbidden = [...beside, ...layers.slice(level + 1).flat()];
    if (forbidden.length === 0) return [];
    const message = `src/${name} stands below this layer, or beside it, and may not know of it.`;
    return depths.map(([files, up]) => {
      const pattern = { regex: `^${up}(${forbidden.join('|')})(/|\\.js$)`, message };
      return {
        files: [`src/${name}${files}`],
        rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: [pattern] }] },
      };
    });
  }),
);

export default defineConfig(
  globalIgnores(['dist/', 'data/', 'test/conformance/*.mjs']),
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      // `() => void work()` says as clearly as a block that the value is not wanted.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      eqeqeq: 'error',
      'no-console': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  {
    // The message of an assertion is for a person; chains of `?.` stand for "fails here if it is not there".
    files: ['test/**/*.ts'],
    rules: { '@typescript-eslint/explicit-module-boundary-types': 'off' },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs', 'scripts/causeway', 'scripts/setup-upstream', 'scripts/soak'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        Buffer: 'readonly',
        URL: 'readonly',
        TextEncoder: 'readonly',
        TextDecoder: 'readonly',
        fetch: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        AbortController: 'readonly',
        AbortSignal: 'readonly',
      },
    },
  },
  {
    files: ['**/*.cjs', 'scripts/causeway', 'scripts/setup-upstream', 'scripts/soak'],
    languageOptions: {
      sourceType: 'commonjs',
      globals: { require: 'readonly', module: 'writable', __dirname: 'readonly', __filename: 'readonly' },
    },
  },
  ...layerRules,
);
